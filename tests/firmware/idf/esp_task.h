/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define ESP_TASK_MAIN_STACK 8192
