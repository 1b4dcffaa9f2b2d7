/* Options come from the compiler's command line. */
