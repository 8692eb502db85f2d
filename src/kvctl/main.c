/* SPDX-License-Identifier: MIT */
#include "kvctl/kvctl.h"

int main(int argc, char **argv)
{
	return kvctl_main(argc, argv);
}
