#pragma once

#define ESP_TASK_MAIN_STACK 8192
