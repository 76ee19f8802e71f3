// zn-fsck: checks a store that nobody has open, and mends it when asked.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "backup_password.h"
#include "fsck_report.h"
#include "zn/engine/backup.h"
#include "zn/engine/repair.h"

namespace {

using zn::tools::FsckExit;

std::atomic<bool> g_stop{false};

// The first signal ends the check in good order, a second one at once.
extern "C" void OnSignal(int signal) {
  g_stop = true;
  std::signal(signal, SIG_DFL);
}

/// "2/7": the second of seven parts.
bool ParseSample(const std::string& text, zn::CheckOptions& options) {
  unsigned part = 0, of = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%u/%u%c", &part, &of, &rest) != 2 || part < 1 || part > of)
    return false;
  options.sample_part = part;
  options.sample_of = of;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  zn::RepairOptions repair;
  zn::CheckOptions& options = repair.check;
  std::string store, sample, level = "full", repository, password_file;
  bool json = false, mend = false;

  CLI::App app{
      "Checks a store that no process has open. Changes nothing unless told to --repair, but says\n"
      "what a repair would do.",
      "zn-fsck"};
  app.add_option("STORE", store, "Directory of the store")->required();
  app.add_option(
         "--level", level,
         "quick: the log, trees, and that every chunk is in its place; full: also every record's\n"
         "SHA-256; deep: also decode every chunk and put every kept commit together")
      ->check(CLI::IsMember({"quick", "full", "deep"}))
      ->capture_default_str();
  app.add_flag_callback(
      "--quick", [&] { level = "quick"; }, "As --level quick");
  app.add_flag_callback(
      "--deep", [&] { level = "deep"; }, "As --level deep");
  app.add_option("--sample", sample,
                 "Hash only one part of the records, e.g. 1/7 today and 2/7 tomorrow");
  app.add_option("--bwlimit", options.bytes_per_second,
                 "Read at most so many bytes a second, e.g. 100MB")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--threads", options.threads, "Threads that hash and decode; default: one a core")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--resume", options.resume_file,
                 "A file that remembers which packs were found whole: an interrupted check goes on\n"
                 "where it was, a later one looks at what has changed since");
  app.add_flag("--json", json,
               "A JSON line for each finding and one with the summary, on standard output");
  app.add_flag("--repair", mend,
               "Mend what is damaged. Nothing is deleted: what goes is kept in quarantine/");
  app.add_option("--from-backup", repository,
                 "A repository of zn-backup, for what the store itself has no copy of");
  app.add_option("--password-file", password_file,
                 "Its first line is the repository's password; else ZN_BACKUP_PASSWORD,\n"
                 "or the file that ZN_BACKUP_PASSWORD_FILE names");
  app.footer(
      "\nExamples:\n"
      "  zn-fsck ~/store\n"
      "  zn-fsck ~/store --quick --json\n"
      "  zn-fsck ~/store --deep --bwlimit 100MB\n"
      "  zn-fsck ~/store --repair --from-backup /backup/zn\n\n" +
      zn::tools::FsckExitHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? FsckExit::kClean : FsckExit::kUsage;
  }
  if (!sample.empty() && !ParseSample(sample, options)) {
    std::fprintf(stderr, "zn-fsck: --sample %s: write PART/PARTS, e.g. 1/7\n", sample.c_str());
    return FsckExit::kUsage;
  }
  options.level = level == "quick"  ? zn::CheckLevel::kQuick
                  : level == "deep" ? zn::CheckLevel::kDeep
                                    : zn::CheckLevel::kFull;
  options.cancel = &g_stop;

  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const auto fail = [&](const zn::Error& error, int code) {
    if (json) std::printf("%s\n", zn::tools::FsckFailureJson(error, code).c_str());
    std::fprintf(stderr, "zn-fsck: %s\n", error.message.c_str());
    return code;
  };
  std::unique_ptr<zn::BackupRepository> backup;
  if (!repository.empty()) {
    zn::BackupRepository::Access access;
    auto password = zn::tools::ReadBackupPassword(password_file);
    if (!password) return fail(password.error(), FsckExit::kUsage);
    access.password = std::move(*password);
    auto opened = zn::BackupRepository::Open(repository, access);
    if (!opened) return fail(opened.error(), FsckExit::kOperational);
    backup = std::move(*opened);
  }
  repair.dry_run = !mend;
  repair.backup = backup.get();

  const auto begin = std::chrono::steady_clock::now();
  const auto print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  };
  auto summary = [&] {
    zn::tools::FsckProgress bar(!json && ::isatty(STDERR_FILENO) != 0);
    return zn::RepairStore(
        store, repair,
        [&](const zn::Finding& finding) {
          bar.Clear();
          print(json ? zn::tools::FindingJson(finding) : zn::tools::FindingText(finding));
        },
        [&](const zn::RepairAction& action) {
          bar.Clear();
          print(json ? zn::tools::RepairActionJson(action, repair.dry_run)
                     : zn::tools::RepairActionText(action, repair.dry_run));
        },
        [&](const zn::CheckProgress& progress) { bar.Update(progress); });
  }();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!summary) return fail(summary.error(), zn::tools::FsckExitOf(summary.error()));
  const int code = zn::tools::FsckExitOf(*summary, repair.dry_run);
  print(json ? zn::tools::FsckSummaryJson(*summary, repair.dry_run, seconds, code)
             : zn::tools::FsckSummaryText(store, *summary, repair.dry_run, seconds));
  std::fflush(stdout);
  return code;
}
