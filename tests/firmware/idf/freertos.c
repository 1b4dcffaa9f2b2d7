/* SPDX-License-Identifier: Apache-2.0 */
/* FreeRTOS's tasks and notifications as threads. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "freertos/task.h"

struct tskTaskControlBlock {
    pthread_mutex_t lock;
    pthread_cond_t given;
    uint32_t notifications;
    TaskFunction_t code;
    void *parameters;
};

static struct tskTaskControlBlock main_task = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL};
static _Thread_local TaskHandle_t current;
static atomic_uint given;

static void *run(void *task)
{
    current = task;
    current->code(current->parameters);
    abort(); /* a task does not return */
}

BaseType_t xTaskCreatePinnedToCore(TaskFunction_t pxTaskCode, const char *const pcName, const uint32_t ulStackDepth,
                                   void *const pvParameters, UBaseType_t uxPriority, TaskHandle_t *const pxCreatedTask,
                                   const BaseType_t xCoreID)
{
    pthread_t thread;
    TaskHandle_t task = malloc(sizeof *task);

    if (task == NULL || pcName == NULL || ulStackDepth == 0 || uxPriority != 1 || xCoreID != 1)
        abort();
    *task = main_task;
    task->code = pxTaskCode;
    task->parameters = pvParameters;
    *pxCreatedTask = task;
    return pthread_create(&thread, NULL, run, task) == 0 ? pdPASS : 0;
}

TaskHandle_t xTaskGetCurrentTaskHandle(void)
{
    return current ? current : &main_task;
}

UBaseType_t uxTaskPriorityGet(const TaskHandle_t xTask)
{
    return xTask == NULL;
}

UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t xTask)
{
    return xTask == NULL ? 6000 : 0;
}

BaseType_t xTaskNotifyGive(TaskHandle_t xTaskToNotify)
{
    ++given;
    pthread_mutex_lock(&xTaskToNotify->lock);
    ++xTaskToNotify->notifications;
    pthread_cond_signal(&xTaskToNotify->given);
    pthread_mutex_unlock(&xTaskToNotify->lock);
    return pdPASS;
}

uint32_t ulTaskNotifyTake(BaseType_t xClearCountOnExit, TickType_t xTicksToWait)
{
    TaskHandle_t const task = xTaskGetCurrentTaskHandle();
    uint32_t count;

    if (xClearCountOnExit != pdTRUE || xTicksToWait != portMAX_DELAY)
        abort();
    pthread_mutex_lock(&task->lock);
    while (task->notifications == 0)
        pthread_cond_wait(&task->given, &task->lock);
    count = task->notifications;
    task->notifications = 0;
    pthread_mutex_unlock(&task->lock);
    return count;
}

unsigned int notifications_given(void)
{
    return given;
}
