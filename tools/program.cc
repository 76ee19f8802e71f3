#include "program.h"

#include <signal.h>

#include <csignal>
#include <cstdio>

#include "report.h"

namespace zn::tools {
namespace {

std::atomic<bool> g_stop{false};
std::atomic<int> g_signal{0};

// The first signal ends the work in good order; a second one at once, which harms no store either.
extern "C" void OnSignal(int signal) {
  g_signal = signal;
  g_stop = true;
  std::signal(signal, SIG_DFL);
}

}  // namespace

const std::atomic<bool>& StopOnSignals() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return g_stop;
}

int InterruptedExit() { return g_signal == SIGTERM ? kExitTerminated : kExitInterrupted; }

int End(const char* program, const Failure& failure, bool json) {
  if (json) std::printf("%s\n", FailureJson(failure).c_str());
  std::fprintf(stderr, "%s: %s\n", program, failure.error.message.c_str());
  const int code = ExitCodeOf(failure);
  return code == kExitInterrupted ? InterruptedExit() : code;
}

}  // namespace zn::tools
