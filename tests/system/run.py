#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""All checks inside the guest, in order; the first installs and starts, each leaves the service running."""
import access_checks as access
import guest
import service_checks as service
import start_checks as start
import tap


def after(failed):
    guest.settle()


guest.must("journalctl", "--update-catalog")
tap.run(service.check_start, service.check_process, access.check_access, access.check_units, service.check_reload,
    service.check_restart_under_load, service.check_kill, service.check_watchdog, service.check_bad_configuration,
    service.check_few_descriptors, service.check_stop, service.check_stop_with_greedy_client, access.check_instance,
    access.check_user_instance, start.check_journal, start.check_torn_tail, start.check_damage, start.check_taken,
    start.check_moved_data, start.check_slow_disk, start.check_disk_error, start.check_slow_recovery, after=after)
