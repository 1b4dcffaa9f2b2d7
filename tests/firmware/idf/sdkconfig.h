/* SPDX-License-Identifier: Apache-2.0 */
/* Options come from the compiler's command line. */
