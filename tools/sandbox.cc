#include "sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

namespace zn::tools {
namespace {

Error Failed(const char* what) {
  return {ErrorCode::kUnsupported, std::string("cannot sandbox the import: ") + what + ": " + std::strerror(errno)};
}

// Landlock: only `file` may be opened, and only for reading. Absent in older kernels; then seccomp alone holds.
Result<> RestrictFiles(int file) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return {};
  landlock_ruleset_attr rules{};
  // Every right of the first version of Landlock.
  rules.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
                            LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                            LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                            LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                            LANDLOCK_ACCESS_FS_MAKE_SYM;
  const auto ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0));
  if (ruleset < 0) return Failed("landlock");
  landlock_path_beneath_attr allowed{};
  allowed.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
  allowed.parent_fd = file;
  const bool done = ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &allowed, 0) == 0 &&
                    ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
  ::close(ruleset);
  if (!done) return Failed("landlock");
  return {};
}

// What reading a file, threads and memory need. Everything else fails with EPERM, so that libraries which only try
// something out go on without it.
constexpr int kAllowed[] = {
    SYS_read, SYS_pread64, SYS_readv, SYS_write, SYS_writev, SYS_lseek, SYS_close, SYS_fstat, SYS_newfstatat, SYS_statx,
    SYS_stat, SYS_lstat, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_readlink, SYS_readlinkat, SYS_getcwd, SYS_dup, SYS_fcntl,
    SYS_fadvise64, SYS_flock, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex, SYS_set_robust_list,
    SYS_rseq, SYS_sched_yield, SYS_sched_getaffinity, SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid,
    SYS_getegid, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_tgkill, SYS_exit, SYS_exit_group,
    SYS_sysinfo, SYS_uname, SYS_prlimit64, SYS_getrlimit, SYS_getrusage, SYS_poll, SYS_ppoll, SYS_restart_syscall,
    SYS_membarrier, SYS_getcpu,
};

Result<> RestrictCalls() {
  std::vector<sock_filter> program;
  const auto add = [&](uint16_t code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) {
    program.push_back({code, yes, no, k});
  };
  constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kEqual = BPF_JMP | BPF_JEQ | BPF_K, kReturn = BPF_RET | BPF_K;
  const auto argument = [](int i) {  // the low half, little-endian
    return static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(i));
  };
#if defined(__x86_64__)
  constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
  constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
  add(kLoad, offsetof(seccomp_data, arch));
  add(kEqual, kArchitecture, 1, 0);
  add(kReturn, SECCOMP_RET_KILL_PROCESS);
  add(kLoad, offsetof(seccomp_data, nr));
  // open for reading only: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC and O_APPEND are refused.
  constexpr uint32_t kWriting = 01 | 02 | 0100 | 01000 | 02000;
  for (const auto& [call, flags] : {std::pair(SYS_openat, 2), std::pair(SYS_open, 1)}) {
    add(kEqual, static_cast<uint32_t>(call), 0, 4);
    add(kLoad, argument(flags));
    add(BPF_JMP | BPF_JSET | BPF_K, kWriting, 1, 0);
    add(kReturn, SECCOMP_RET_ALLOW);
    add(kReturn, SECCOMP_RET_ERRNO | EPERM);
  }
  // Threads, no processes. clone3's flags lie in memory, where a filter cannot look: ENOSYS makes glibc take clone.
  add(kEqual, SYS_clone3, 0, 1);
  add(kReturn, SECCOMP_RET_ERRNO | ENOSYS);
  add(kEqual, SYS_clone, 0, 4);
  add(kLoad, argument(0));
  add(BPF_JMP | BPF_JSET | BPF_K, 0x00010000 /* CLONE_THREAD */, 0, 1);
  add(kReturn, SECCOMP_RET_ALLOW);
  add(kReturn, SECCOMP_RET_ERRNO | EPERM);
  for (int call : kAllowed) {
    add(kEqual, static_cast<uint32_t>(call), 0, 1);
    add(kReturn, SECCOMP_RET_ALLOW);
  }
  add(kReturn, SECCOMP_RET_ERRNO | EPERM);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return Failed("seccomp");
  return {};
}

Result<> Limit(__rlimit_resource what, int64_t value) {
  const rlimit limit{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  if (::setrlimit(what, &limit) != 0) return Failed("setrlimit");
  return {};
}

}  // namespace

Result<> EnterSandbox(int file, const SandboxLimits& limits) {
  ZN_RETURN_IF_ERROR(Limit(RLIMIT_AS, limits.memory_bytes));
  ZN_RETURN_IF_ERROR(Limit(RLIMIT_CPU, limits.cpu_seconds));
  ZN_RETURN_IF_ERROR(Limit(RLIMIT_FSIZE, 0));  // pipes are no files
  ZN_RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("no_new_privs");
  ZN_RETURN_IF_ERROR(RestrictFiles(file));
  return RestrictCalls();
}

}  // namespace zn::tools
