/* Holds a pod's namespaces open: sleeps until told to end, and reaps orphaned processes where the pod shares one
 * process namespace. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal_number) {
  (void)signal_number;
  _exit(0);
}

static void reap(int signal_number) {
  (void)signal_number;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

int main(void) {
  struct sigaction on_end = {.sa_handler = end};
  struct sigaction on_child = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  if (sigaction(SIGINT, &on_end, NULL) < 0) return 1;
  if (sigaction(SIGTERM, &on_end, NULL) < 0) return 2;
  if (sigaction(SIGCHLD, &on_child, NULL) < 0) return 3;
  for (;;) pause();
}
