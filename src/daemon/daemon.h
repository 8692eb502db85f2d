/* SPDX-License-Identifier: MIT
 *
 * The daemon, the front door of the room. Everything else of it hangs from struct server (server.h).
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

/*
 * Runs kvd with this command line until it is told to stop. Returns the exit code: 0; 65 the data is damaged or of a newer
 * release; 73 another daemon has the data or the socket; 74 the disk or the system failed; 78 the configuration is bad.
 */
int daemon_main(int argc, char **argv);

#endif
