// zn-export: a room, or a commit of it, as files that other programs read.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include "export.h"
#include "export_report.h"
#include "program.h"

namespace {

std::string FormatHelp() {
  std::string text = "Formats, told by OUT's ending unless --format says which:\n";
  for (const zn::tools::ExportFormat& format : zn::tools::ExportFormats()) {
    std::string line = "  " + std::string(format.name);
    line.resize(16, ' ');
    line += std::string(format.description) + " (";
    for (size_t i = 0; i < format.endings.size(); ++i)
      line += (i > 0 ? " " : "") + std::string(format.endings[i]);
    text += line + ")\n";
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  zn::tools::ExportOptions options;
  std::string start, stop_before, step;
  bool json = false, join = false;

  CLI::App app{
      "Exports a room of a store, or a commit of it, to files that other programs read. The store "
      "is only read, also\n"
      "while a server holds it. Nothing half-written stands under its final name; where OUT is a "
      "directory, an export that\n"
      "was interrupted goes on with the same command.",
      "zn-export"};
  app.set_version_flag("--version", "zn-export " ZN_VERSION);
  app.add_option("OUT", options.out, "File or directory to make");
  app.add_option("--store", options.store, "Directory of the store");
  app.add_option("--room", options.room, "NAME, or NAME@COMMIT as the room was");
  app.add_option("--format", options.format,
                 "Format's name, instead of telling it by OUT's ending");
  app.add_option(
      "--fields", options.fields,
      "Only these fields: names or aliases, separated by commas, e.g. positions,species");
  auto* indices = app.add_option(
      "--indices", options.indices,
      "Only these frames, as in the API: 7, -1, 0:100:10, or a list of these separated by commas");
  for (auto [name, value, help] : {std::tuple("--start", &start, "First frame"),
                                   std::tuple("--stop", &stop_before, "Frame to stop before"),
                                   std::tuple("--step", &step, "Take every n-th frame")})
    app.add_option(name, *value, help)->check(CLI::TypeValidator<int64_t>())->excludes(indices);
  app.add_option("--zarr", options.zarr,
                 "Which metadata Zarr gets: 3, 2, or 3,2 over the same chunks");
  app.add_option("--level", options.level, "gzip's, where the format has it: 0 (none) to 9")
      ->check(CLI::Range(0, 9));
  app.add_flag("--join", join, "npy, npz: rows of all frames joined instead of padded");
  app.add_flag("--force", options.force,
               "Replace OUT where it is a file, or a directory of another export; nothing else");
  app.add_flag("--dry-run", options.dry_run, "Say what would be exported; writes nothing");
  app.add_option("--threads", options.threads,
                 "Threads for decoding and encoding; default: one a core")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--json", json,
               "A JSON line of progress a second and a summary line, on standard output");
  app.footer(
      "\nExamples:\n"
      "  zn-export --store ~/store --room water water.zarr\n"
      "  zn-export --store ~/store --room water@12-0123456789abcdef --zarr 3,2 water.zarr\n"
      "  zn-export --store ~/store --room water --start 1000 --step 10 water.h5md\n"
      "  zn-export --store ~/store --room train --fields positions,species,energy,forces "
      "train.xyz.gz\n"
      "  zn-export --store ~/store --room train --join --format npy train-arrays\n"
      "  zn-export --store ~/store --room water water.kerchunk.json\n\n" +
      FormatHelp() + "\n" + zn::tools::ExitCodeHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? zn::tools::kExitOk : zn::tools::kExitUsage;
  }
  if (indices->count() == 0)
    options.indices = start + ":" + stop_before + (step.empty() ? "" : ":" + step);
  options.pad = !join;

  const std::atomic<bool>& stop = zn::tools::StopOnSignals();
  const auto begin = std::chrono::steady_clock::now();
  auto result = [&] {
    zn::tools::ProgressReporter reporter(zn::tools::ProgressReporter::ModeFor(json));
    return zn::tools::Export(
        options, stop, [&](const zn::tools::Progress& progress) { reporter.Update(progress); });
  }();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!result) return zn::tools::End("zn-export", result.error(), json);
  for (const std::string& warning : result->warnings)
    std::fprintf(stderr, "zn-export: warning: %s\n", warning.c_str());
  const std::string text = json ? zn::tools::SummaryJson(options, *result, seconds) + "\n"
                                : zn::tools::SummaryText(options, *result, seconds);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return zn::tools::kExitOk;
}
