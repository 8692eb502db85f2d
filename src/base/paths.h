/* SPDX-License-Identifier: MIT
 *
 * Where things are when nobody says otherwise. One rule for the daemon and its client, so that they meet:
 *
 *              run by systemd               root                        anybody else
 *   data       $STATE_DIRECTORY             LOCALSTATEDIR/lib/kvd       ${XDG_STATE_HOME:-~/.local/state}/kvd
 *   socket     $RUNTIME_DIRECTORY/kvd.sock  RUNSTATEDIR/kvd/kvd.sock    $XDG_RUNTIME_DIR/kvd/kvd.sock, else DATA/kvd.sock
 *   config     as root or anybody else      SYSCONFDIR/kvd/kvd.conf     ${XDG_CONFIG_HOME:-~/.config}/kvd/kvd.conf
 *
 * Variables that are empty or not absolute count as unset; of a list (STATE_DIRECTORY=a:b) the first entry counts.
 *
 * All calls write a NUL-terminated path and return 0; -ENAMETOOLONG (it does not fit, output untouched) or -ENOENT (no
 * home directory to build on). Nothing is created. They read the environment, so not while another thread changes it.
 */
#ifndef BASE_PATHS_H
#define BASE_PATHS_H

#include <stddef.h>

#define PATHS_MAX 4096

int paths_data_dir(char *out, size_t size);
int paths_config(char *out, size_t size);

/* Where a daemon with the default data directory listens; socket addresses hold 107 bytes, which is not checked here. */
int paths_socket(char *out, size_t size);
/* The same for a daemon whose data directory is another one. */
int paths_socket_for(const char *data_dir, char *out, size_t size);

/* Where a client finds the daemon: $KVD_SOCKET if set; the socket of paths_socket() if there is one; else the system's. */
int paths_client_socket(char *out, size_t size);

#endif
