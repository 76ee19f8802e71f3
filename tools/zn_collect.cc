// zn-collect: gives back the space of what a store no longer needs.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "collect.h"
#include "exit_code.h"
#include "program.h"

int main(int argc, char** argv) {
  zn::tools::CollectRun run;
  bool json = false;
  std::vector<std::string> keep;

  CLI::App app{
      "Gives back the space of deleted rooms, of commits beyond their room's retention, and of "
      "what\n"
      "interrupted writes left. The server does the same while it runs.",
      "zn-collect"};
  app.set_version_flag("--version", ZN_VERSION);
  app.add_option("STORE", run.store, "Directory of the store")->required();
  app.add_flag("--dry-run", run.options.dry_run,
               "Only say what would be given back; also while the store is in use");
  app.add_option("--keep", keep,
                 "Set how much of its past a room keeps, and keep to it from now on: ROOM=all, "
                 "ROOM=100 (commits),\n"
                 "ROOM=30d (s, m, h, d, w). May be given several times");
  app.add_option("--rate", run.options.bytes_per_second,
                 "Read and copy at most so many bytes a second, e.g. 50MB")
      ->transform(CLI::AsSizeValue(true));
  app.add_flag("--json", json, "A JSON line with the result on standard output");
  app.footer(
      "\nExamples:\n"
      "  zn-collect ~/store --dry-run\n"
      "  zn-collect ~/store\n"
      "  zn-collect ~/store --keep water=30d --keep test=1\n\n" +
      zn::tools::ExitCodeHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? zn::tools::kExitOk : zn::tools::kExitUsage;
  }
  for (const std::string& setting : keep) {
    const size_t at = setting.find('=');
    const auto retention = zn::ParseRetention(at == setting.npos ? "" : setting.substr(at + 1));
    if (at == setting.npos || !retention) {
      const std::string why = at == setting.npos ? "write ROOM=POLICY" : retention.error().message;
      return zn::tools::End("zn-collect",
                            {zn::tools::Fault::kUsage,
                             {zn::ErrorCode::kInvalidArgument, "--keep " + setting + ": " + why}},
                            json);
    }
    run.keep.emplace_back(setting.substr(0, at), *retention);
  }
  run.options.cancel = &zn::tools::StopOnSignals();
  zn::tools::CollectBar bar(!json && ::isatty(STDERR_FILENO) != 0);
  const auto summary =
      zn::tools::RunCollect(run, [&](const zn::CollectProgress& p) { bar.Update(p); });
  bar.Clear();
  if (!summary)
    return zn::tools::End("zn-collect", {zn::tools::Fault::kStore, summary.error()}, json);
  const std::string text = json ? zn::tools::CollectJson(*summary, run.options.dry_run)
                                : zn::tools::CollectText(*summary, run.options.dry_run);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return zn::tools::kExitOk;
}
