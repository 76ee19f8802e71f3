// zn-backup: snapshots of stores and Zarr directories in a repository, and back.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "backup_frames.h"
#include "backup_password.h"
#include "backup_report.h"
#include "program.h"
#include "zn/engine/backup.h"

namespace {

using zn::BackupRepository;
using zn::Error;
using zn::ErrorCode;
using zn::Result;
using zn::tools::BackupExit;

struct Command {
  std::string repository, password_file;
  bool json = false;
  int wait_seconds = 0;
  zn::BackupControl control;

  // create
  std::string source;
  bool init = false, encrypt = false;
  zn::BackupOptions backup;
  // verify
  std::string subset;
  zn::BackupVerifyOptions verify;
  // restore
  std::string snapshot, target;
  zn::RestoreOptions restore;
  zn::tools::FramesRestore frames;
  // prune
  zn::PruneOptions prune;
};

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

/// What an error of opening or locking the repository, or of working with it, ends with.
int ExitOf(const Error& error, bool opening) {
  if (error.code == ErrorCode::kCancelled) return BackupExit::kInterrupted;
  if (error.code == ErrorCode::kBusy) return BackupExit::kLocked;
  if (opening && error.code == ErrorCode::kNotFound) return BackupExit::kNoRepository;
  if (opening && error.code == ErrorCode::kInvalidArgument) return BackupExit::kWrongPassword;
  return BackupExit::kFailed;
}

int Fail(const Command& command, const Error& error, int code) {
  if (command.json) Print(zn::tools::BackupFailureJson(error, code));
  std::fprintf(stderr, "zn-backup: %s\n", error.message.c_str());
  return code == BackupExit::kInterrupted ? zn::tools::InterruptedExit() : code;
}

Result<std::unique_ptr<BackupRepository>> OpenRepository(const Command& command,
                                                         std::optional<std::string> password) {
  BackupRepository::Access access;
  access.wait = std::chrono::seconds(command.wait_seconds);
  access.notice = [](const std::string& text) {
    std::fprintf(stderr, "zn-backup: %s\n", text.c_str());
  };
  if (command.init && !std::ifstream(command.repository + "/config")) {
    if (command.encrypt && !password)
      return Error{ErrorCode::kInvalidArgument,
                   "--encrypt needs a password: --password-file, or ZN_BACKUP_PASSWORD"};
    if (command.encrypt) access.password = std::move(password);
    auto made = BackupRepository::Create(command.repository, access);
    if (!made && made.error().code == ErrorCode::kInvalidArgument)
      made.error().code = ErrorCode::kAlreadyExists;
    return made;
  }
  access.password = std::move(password);
  return BackupRepository::Open(command.repository, access);
}

double Since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int Create(const Command& command, BackupRepository& repository,
           std::chrono::steady_clock::time_point begin) {
  auto made = repository.Backup(command.source, command.backup, command.control);
  if (!made) return Fail(command, made.error(), ExitOf(made.error(), false));
  Print(command.json ? zn::tools::BackupSnapshotJson(*made)
                     : zn::tools::BackupCreatedText(*made, Since(begin)));
  return made->damaged > 0 ? BackupExit::kIncomplete : BackupExit::kDone;
}

int List(const Command& command, BackupRepository& repository) {
  bool damaged = false;
  auto snapshots = repository.List([&](const std::string& text) {
    damaged = true;
    std::fprintf(stderr, "zn-backup: %s\n", text.c_str());
  });
  if (!snapshots) return Fail(command, snapshots.error(), ExitOf(snapshots.error(), false));
  if (command.json) {
    for (const auto& snapshot : *snapshots) Print(zn::tools::BackupSnapshotJson(snapshot));
  } else {
    Print(zn::tools::BackupListText(*snapshots));
  }
  return damaged ? BackupExit::kFailed : BackupExit::kDone;
}

int Verify(const Command& command, BackupRepository& repository,
           std::chrono::steady_clock::time_point begin) {
  auto summary = repository.Verify(command.verify, command.control);
  if (!summary) return Fail(command, summary.error(), ExitOf(summary.error(), false));
  Print(command.json
            ? zn::tools::BackupVerifyJson(*summary, Since(begin))
            : zn::tools::BackupVerifyText(*summary, command.verify.read_data, Since(begin)));
  return summary->problems > 0 ? BackupExit::kFailed : BackupExit::kDone;
}

int Restore(Command& command, BackupRepository& repository, const std::atomic<bool>& stop,
            std::chrono::steady_clock::time_point begin) {
  auto snapshot = repository.Find(command.snapshot);
  if (!snapshot) return Fail(command, snapshot.error(), ExitOf(snapshot.error(), false));
  if (command.frames.room.empty()) {
    auto restored =
        repository.Restore(snapshot->id, command.target, command.restore, command.control);
    if (!restored) return Fail(command, restored.error(), ExitOf(restored.error(), false));
    Print(command.json ? zn::tools::BackupRestoredJson(*restored, Since(begin))
                       : zn::tools::BackupRestoredText(command.target, *restored, Since(begin)));
    return restored->damaged > 0 ? BackupExit::kIncomplete : BackupExit::kDone;
  }
  command.frames.snapshot = snapshot->id;
  command.frames.store = command.target;
  command.frames.threads = command.control.threads;
  auto restored =
      zn::tools::RestoreFrames(repository, command.frames, stop, command.control.progress);
  if (!restored) {
    const auto& [fault, error] = restored.error();
    // A store that is in use is not the repository.
    const int code = fault == zn::tools::Fault::kUsage ? BackupExit::kUsage
                     : fault == zn::tools::Fault::kStore && error.code != ErrorCode::kCancelled
                         ? BackupExit::kFailed
                         : ExitOf(error, false);
    return Fail(command, error, code);
  }
  Print(command.json ? zn::tools::BackupFramesJson(*restored, Since(begin))
                     : zn::tools::BackupFramesText(command.target, *restored, Since(begin)));
  return BackupExit::kDone;
}

int Prune(const Command& command, BackupRepository& repository,
          std::chrono::steady_clock::time_point begin) {
  auto summary = repository.Prune(command.prune, command.control);
  if (!summary) return Fail(command, summary.error(), ExitOf(summary.error(), false));
  Print(command.json ? zn::tools::BackupPruneJson(*summary, command.prune.dry_run, Since(begin))
                     : zn::tools::BackupPruneText(*summary, command.prune.dry_run, Since(begin)));
  return BackupExit::kDone;
}

/// "2/7": the second of seven parts.
bool ParseSubset(const std::string& text, zn::BackupVerifyOptions& options) {
  char rest = 0;
  return std::sscanf(text.c_str(), "%u/%u%c", &options.subset_part, &options.subset_of, &rest) ==
             2 &&
         options.subset_part >= 1 && options.subset_part <= options.subset_of;
}

}  // namespace

int main(int argc, char** argv) {
  Command command;
  CLI::App app{
      "Backs up stores, also while a server writes to them, and Zarr directories into a "
      "repository.",
      "zn-backup"};
  app.set_version_flag("--version", "zn-backup " ZN_VERSION);
  app.require_subcommand(1);
  const auto common = [&](CLI::App* sub, bool works) {
    sub->add_option("--repo", command.repository, "Directory of the repository")
        ->envname("ZN_BACKUP_REPOSITORY")
        ->required();
    sub->add_option("--password-file", command.password_file,
                    "Its first line is the repository's password; else ZN_BACKUP_PASSWORD,\n"
                    "or the file that ZN_BACKUP_PASSWORD_FILE names");
    sub->add_flag("--json", command.json, "JSON lines on standard output");
    if (!works) return;
    sub->add_option("--bwlimit", command.control.bytes_per_second,
                    "Read at most so many bytes a second, e.g. 100MB")
        ->transform(CLI::AsSizeValue(true));
    sub->add_option("--threads", command.control.threads, "Threads; default: one a core")
        ->check(CLI::NonNegativeNumber);
    sub->add_option("--wait", command.wait_seconds,
                    "Wait so many seconds for another process's lock")
        ->check(CLI::NonNegativeNumber);
  };

  CLI::App* create =
      app.add_subcommand("create", "Make a snapshot of a store, or of a Zarr directory");
  create->add_option("SOURCE", command.source, "Directory of the store, or the Zarr group or array")
      ->required();
  create->add_flag("--init", command.init, "Make the repository if there is none");
  create->add_flag("--encrypt", command.encrypt, "With --init: the new repository is encrypted");
  create->add_option("--description", command.backup.description, "Shown by list");
  create
      ->add_option("--tag", command.backup.tags,
                   "Shown by list, kept by prune --keep-tag (repeatable)")
      ->allow_extra_args(false);
  create->add_option("--host", command.backup.host, "Instead of this machine's name");
  create->add_flag("--read-all", command.backup.read_all,
                   "Read everything, also what the last snapshot of this source has");
  common(create, true);

  CLI::App* list = app.add_subcommand("list", "List the snapshots");
  common(list, false);

  CLI::App* verify =
      app.add_subcommand("verify", "Is everything there that the snapshots need, and undamaged?");
  verify->add_flag("--read-data", command.verify.read_data,
                   "Read every object and compare it with its name");
  verify->add_option("--subset", command.subset,
                     "With --read-data: one part of it, e.g. 1/7 today and 2/7 tomorrow");
  common(verify, true);

  CLI::App* restore = app.add_subcommand(
      "restore", "Make a store, or a directory, of a snapshot again; or frames of it");
  restore->add_option("SNAPSHOT", command.snapshot, "Its id, the beginning of it, or latest")
      ->required();
  restore
      ->add_option("--to", command.target,
                   "New directory; with --room a store, which may be there already")
      ->required();
  CLI::Option* room = restore->add_option("--room", command.frames.room,
                                          "Only this room, or ROOM@COMMIT, without its history");
  restore->add_option("--frames", command.frames.indices, "Only these frames of it, e.g. 0:1000:10")
      ->needs(room);
  restore
      ->add_option("--fields", command.frames.fields,
                   "Only these fields of it, e.g. positions,energy")
      ->needs(room);
  restore->add_option("--as", command.frames.as, "The new room's name, if not the same")
      ->needs(room);
  restore->add_flag("--keep-id", command.restore.keep_id,
                    "The store keeps its UUID: where it takes the place of the lost one");
  restore->add_flag("--keep-going", command.restore.keep_going,
                    "Past damaged objects: zeros stand there then");
  common(restore, true);

  CLI::App* prune =
      app.add_subcommand("prune", "Forget old snapshots, and remove what no other needs");
  zn::KeepRules& keep = command.prune.keep;
  const auto rule = [&](const char* name, int& value, const char* text) {
    prune->add_option(name, value, text)->check(CLI::NonNegativeNumber);
  };
  rule("--keep-last", keep.last, "The newest snapshots of each source");
  rule("--keep-daily", keep.daily, "The newest of each of so many days (UTC)");
  rule("--keep-weekly", keep.weekly, "The newest of each of so many weeks (from Monday)");
  rule("--keep-monthly", keep.monthly, "The newest of each of so many months");
  rule("--keep-yearly", keep.yearly, "The newest of each of so many years");
  prune->add_option("--keep-tag", keep.tags, "Those with this tag (repeatable)")
      ->allow_extra_args(false);
  prune
      ->add_option("--max-unused", command.prune.max_unused,
                   "Write bundles anew when more than this part of them is not needed")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  prune->add_flag("--dry-run", command.prune.dry_run, "Say what would be done");
  common(prune, true);

  app.footer(
      "\nExamples:\n"
      "  zn-backup create ~/store --repo /backup/zn --init\n"
      "  zn-backup create ~/store --repo /backup/zn --init --encrypt --password-file "
      "~/.zn-backup-password\n"
      "  zn-backup create results.zarr --repo /backup/zn --tag paper\n"
      "  zn-backup list --repo /backup/zn\n"
      "  zn-backup verify --repo /backup/zn --read-data --subset 1/7\n"
      "  zn-backup restore latest --repo /backup/zn --to ~/restored\n"
      "  zn-backup restore 3f9a12cd --repo /backup/zn --to ~/store --room water --as water_before "
      "--frames 0:1000\n"
      "  zn-backup prune --repo /backup/zn --keep-last 3 --keep-daily 7 --keep-weekly 5 "
      "--keep-monthly 12\n\n" +
      zn::tools::BackupExitHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? BackupExit::kDone : BackupExit::kUsage;
  }
  if (!command.subset.empty() &&
      (!command.verify.read_data || !ParseSubset(command.subset, command.verify)))
    return Fail(
        command,
        {ErrorCode::kInvalidArgument, "--subset goes with --read-data and is PART/PARTS, e.g. 1/7"},
        BackupExit::kUsage);
  if (command.encrypt && !command.init)
    return Fail(
        command,
        {ErrorCode::kInvalidArgument,
         "--encrypt goes with --init: a repository is encrypted from its beginning or never"},
        BackupExit::kUsage);

  const std::atomic<bool>& stop = zn::tools::StopOnSignals();
  const auto begin = std::chrono::steady_clock::now();
  zn::tools::BackupProgressReport report(command.json, ::isatty(STDERR_FILENO) != 0);
  command.control.cancel = &stop;
  command.control.progress = [&](const zn::BackupProgress& progress) { report.Update(progress); };
  command.control.warning = [&](const std::string& text) {
    std::fprintf(stderr, "zn-backup: warning: %s\n", text.c_str());
  };

  auto password = zn::tools::ReadBackupPassword(command.password_file);
  if (!password) return Fail(command, password.error(), BackupExit::kWrongPassword);
  auto repository = OpenRepository(command, std::move(*password));
  if (!repository) return Fail(command, repository.error(), ExitOf(repository.error(), true));
  if (create->parsed()) return Create(command, **repository, begin);
  if (list->parsed()) return List(command, **repository);
  if (verify->parsed()) return Verify(command, **repository, begin);
  if (restore->parsed()) return Restore(command, **repository, stop, begin);
  return Prune(command, **repository, begin);
}
