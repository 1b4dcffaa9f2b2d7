/* SPDX-License-Identifier: Apache-2.0 */
#include "esp_idf.h"
#include "port.h"
#include "sdkconfig.h"

void app_main(void);

void app_main(void)
{
    port_start();
#if CONFIG_P2B_TWO_CORES
    cores_start();
#endif
#if CONFIG_P2B_MODE_LIVE
    camera_run();
#elif CONFIG_P2B_MODE_TFLM
    tflm_compare();
#else
    app_start();
    for (;;)
        app_receive(port_read());
#endif
}
