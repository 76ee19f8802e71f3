// zn-import: trajectory files into a room of a store.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>

#include "import.h"
#include "import_report.h"
#include "program.h"
#include "stream.h"

namespace {

using zn::tools::ProgressReporter;

zn::Result<> ParseChunk(const std::string& text, zn::LayoutOptions& layout) {
  auto number = [](const std::string& part, int64_t& value) {
    if (part.empty() || part.size() > 12 ||
        part.find_first_not_of("0123456789") != std::string::npos)
      return false;
    value = std::stoll(part);
    return value > 0;
  };
  size_t x = text.find('x');
  bool good = number(text.substr(0, x), layout.frames_per_chunk) &&
              (x == std::string::npos || number(text.substr(x + 1), layout.atoms_per_chunk));
  if (good) return {};
  return zn::Error{zn::ErrorCode::kInvalidArgument,
                   "--chunk " + text + ": write FRAMES or FRAMESxATOMS, e.g. 64 or 64x128"};
}

zn::Result<> ParseMaps(const std::vector<std::string>& maps, zn::formats::ReadOptions& read) {
  for (const std::string& map : maps) {
    size_t equals = map.rfind('=');
    if (equals == std::string::npos || equals == 0) {
      return zn::Error{zn::ErrorCode::kInvalidArgument,
                       "--map " + map + ": write SOURCE=FIELD, e.g. dft_energy=calc.energy"};
    }
    read.map.emplace_back(map.substr(0, equals), map.substr(equals + 1));
  }
  return {};
}

std::string FormatHelp() {
  std::string text = "Formats, told by content:\n";
  for (const zn::formats::Format& format : zn::formats::Formats()) {
    text += "  " + format.name +
            std::string(format.name.size() < 13 ? 13 - format.name.size() : 1, ' ') +
            format.description + "\n";
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  zn::tools::ImportOptions options;
  std::string dtype, chunk;
  std::vector<std::string> maps;
  bool json = false, stream = false, sandbox = false;
  zn::tools::SandboxLimits limits;

  CLI::App app{
      "Imports trajectories into a room of a store, all files in one commit: an import that fails "
      "or is\n"
      "interrupted leaves the store as it was.",
      "zn-import"};
  app.set_version_flag("--version", "zn-import " ZN_VERSION);
  app.add_option("FILE", options.files, "Files to import, in this order");
  app.add_option("--store", options.store, "Directory of the store; made if there is none");
  app.add_option("--room", options.room, "Room to append to; made if there is none");
  app.add_option("--base", options.base, "Fork the new room from ROOM[@COMMIT] before appending");
  app.add_option("--group", options.read.group,
                 "H5MD particles group, asebytes or Zarr group to read, where there are several");
  app.add_option("--map", maps,
                 "Rename a field: SOURCE=FIELD, e.g. dft_energy=calc.energy; SOURCE= leaves it out "
                 "(repeatable)")
      ->allow_extra_args(false);
  app.add_option("--dtype", dtype, "Convert floating fields: float16, float32 or float64");
  app.add_option("--start", options.read.start, "First frame of each file")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--stop", options.read.stop, "Frame of each file to stop before")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--step", options.read.step, "Take every n-th frame")->check(CLI::PositiveNumber);
  app.add_option(
      "--codec", options.layout.codecs,
      "blosc:lz4, blosc:zstd:5, zstd:3, lz4, gzip:6, none, rounded, default, or Zarr v3 JSON; "
      "without it a Zarr source's own, rounded for rounded values, else the default");
  app.add_option("--chunk", chunk, "Chunks of FRAMES or FRAMESxATOMS, e.g. 64 or 64x128");
  app.add_option("--format", options.format, "Format's name, instead of telling it by content");
  app.add_flag("--unwrap", options.read.unwrap,
               "Absolute positions from periodic images, where the file has them");
  app.add_flag("--force", options.read.force, "Read past what the format forbids, with a warning");
  app.add_flag("--dry-run", options.dry_run,
               "Read everything and say what would be made; opens no store");
  app.add_option("--actor", options.context.actor, "Who imports, for the room's history");
  app.add_option("--message", options.context.message, "Why, for the room's history");
  app.add_option("--threads", options.threads,
                 "Threads for reading and encoding; default: one a core")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--json", json,
               "A JSON line of progress a second and a summary line, on standard output");
  // For zn-server: the reading half alone.
  app.add_flag("--stream", stream, "Write the frames to standard output for another process")
      ->group("");
  app.add_flag("--sandbox", sandbox,
               "With --stream: give up files, network and other programs first")
      ->group("");
  app.add_option("--max-memory", limits.memory_bytes, "With --sandbox: bytes of address space")
      ->group("");
  app.add_option("--max-seconds", limits.cpu_seconds, "With --sandbox: seconds of processor time")
      ->group("");
  app.footer(
      "\nExamples:\n"
      "  zn-import md.h5 --store ~/store --room water\n"
      "  zn-import train_*.xyz.gz --store ~/store --room train --map dft_energy=calc.energy "
      "--dtype float32\n"
      "  zn-import run.xyz --dry-run\n"
      "  zn-import export.zarr --store ~/store --room back\n"
      "  zn-import data.zarr --store ~/store --room set --group train --map "
      "dft/energy=calc.energy\n"
      "  zn-import more.xyz --store ~/store --room branch --base train@12-0123456789abcdef\n\n" +
      FormatHelp() + "\n" + zn::tools::ExitCodeHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return code == 0 ? zn::tools::kExitOk : zn::tools::kExitUsage;
  }

  zn::Result<> parsed = ParseMaps(maps, options.read);
  if (parsed && !chunk.empty()) parsed = ParseChunk(chunk, options.layout);
  if (parsed && !dtype.empty()) {
    zn::Result<zn::DType> type = zn::ParseDType(dtype);
    if (type && zn::IsFloating(*type) && *type <= zn::DType::kFloat64)
      options.read.float_dtype = *type;
    else
      parsed = zn::Error{zn::ErrorCode::kInvalidArgument,
                         "--dtype " + dtype + ": write float16, float32 or float64"};
  }
  if (!parsed)
    return zn::tools::End("zn-import", {zn::tools::Fault::kUsage, std::move(parsed).error()}, json);
  if (stream) {
    if (options.files.size() != 1)
      return zn::tools::End(
          "zn-import",
          {zn::tools::Fault::kUsage, {zn::ErrorCode::kInvalidArgument, "--stream takes one file"}},
          json);
    return zn::tools::StreamFile(options, sandbox ? &limits : nullptr);
  }
  if (options.context.message.empty()) {
    options.context.message = "import";
    for (const std::string& file : options.files) {
      if (options.context.message.size() + file.size() > 1000) {
        options.context.message += " ...";
        break;
      }
      options.context.message += " " + file;
    }
  }

  const std::atomic<bool>& stop = zn::tools::StopOnSignals();
  const auto begin = std::chrono::steady_clock::now();
  auto result = [&] {
    ProgressReporter reporter(ProgressReporter::ModeFor(json));
    return zn::tools::Import(options, stop, [&](const zn::tools::ImportProgress& progress) {
      reporter.Update(progress);
    });
  }();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!result) return zn::tools::End("zn-import", result.error(), json);

  for (const auto& [file, warning] : result->warnings) {
    std::string times = warning.count > 1 ? " (" + std::to_string(warning.count) + " times)" : "";
    std::string where = file.empty() ? "" : file + ": ";
    if (!warning.place.empty()) where += warning.place + ": ";
    std::fprintf(stderr, "zn-import: warning: %s%s%s\n", where.c_str(), warning.message.c_str(),
                 times.c_str());
  }
  std::string text = json ? zn::tools::SummaryJson(options, *result, seconds) + "\n"
                          : zn::tools::SummaryText(options, *result, seconds);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return zn::tools::kExitOk;
}
