# ESP-IDF's build system as far as the project's files call it; it configures and builds nothing.
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

macro(idf_build_set_property property value)
    if("${property}" STREQUAL "COMPILE_OPTIONS")
        add_compile_options(${value})
    endif()
endmacro()

function(idf_component_register)
    cmake_parse_arguments(PARSE_ARGV 0 given "" "" "SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS;PRIV_REQUIRES")
    get_filename_component(name "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    add_library(${name} STATIC ${given_SRCS})
    target_include_directories(${name} PUBLIC ${given_INCLUDE_DIRS} PRIVATE ${given_PRIV_INCLUDE_DIRS})
    set(COMPONENT_LIB ${name} PARENT_SCOPE)
endfunction()

macro(project name)
    _project(${name} C CXX)
    add_subdirectory(components/p2b_model)
    add_subdirectory(main)
    get_target_property(libraries main INTERFACE_LINK_LIBRARIES)
    message(STATUS "main is linked with ${libraries}")
endmacro()
