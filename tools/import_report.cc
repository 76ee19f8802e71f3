#include "import_report.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "zn/formats/text_writer.h"

namespace zn::tools {
namespace {

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

void Add(std::string& json, std::string_view key, std::string_view text) {
  json += json.size() > 1 ? "," : "";
  formats::AppendJsonString(key, json);
  json += ':';
  formats::AppendJsonString(text, json);
}
void Add(std::string& json, std::string_view key, int64_t value) {
  json += json.size() > 1 ? "," : "";
  formats::AppendJsonString(key, json);
  json += ':' + std::to_string(value);
}
void Add(std::string& json, std::string_view key, double value) {
  json += json.size() > 1 ? "," : "";
  formats::AppendJsonString(key, json);
  json += ':' + (std::isfinite(value) ? Format("%.6g", value) : "null");
}
void AddRaw(std::string& json, std::string_view key, std::string_view value) {
  json += json.size() > 1 ? "," : "";
  formats::AppendJsonString(key, json);
  json += ':';
  json += value;
}

// Terminal columns of UTF-8 text without wide characters.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Padded(std::string text, size_t width) {
  size_t now = Width(text);
  if (now < width) text.append(width - now, ' ');
  return text;
}

std::string ShapeText(const FieldTally& field) {
  if (field.dtype == DType::kJson) return "(frames)";
  std::string text = field.kind == FieldKind::kAtom     ? "(frames, atoms"
                     : field.kind == FieldKind::kRagged ? "(frames, rows"
                                                        : "(frames";
  for (int64_t extent : field.inner) text += ", " + std::to_string(extent);
  return text + ")";
}

std::string UnitText(const FieldTally& field) {
  std::string unit = field.unit.empty() ? "-" : field.unit;
  if (!field.source_unit.empty()) unit += " (file: " + field.source_unit + ")";
  return unit;
}

}  // namespace

std::string HumanBytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) {
    bytes /= 1000;
    ++unit;
  }
  return Format(unit == 0 || bytes >= 99.95 ? "%.0f " : "%.1f ", bytes) + units[unit];
}

std::string HumanTime(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  if (seconds < 99.5) return Format(seconds < 9.995 ? "%.2f s" : "%.0f s", seconds);
  int64_t whole = std::llround(seconds);
  char text[64];
  if (whole < 3600) {
    std::snprintf(text, sizeof text, "%d min %02d s", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d h %02d min", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60));
  }
  return text;
}

std::string HumanCount(int64_t count) {
  std::string text = std::to_string(count);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

std::string ProgressLine(const ImportProgress& progress, double seconds, int columns) {
  std::string name = std::filesystem::path(progress.file).filename().string();
  if (Width(name) > 24) name = name.substr(0, 21) + "...";
  double rate = seconds > 0 ? static_cast<double>(progress.raw_bytes) / seconds : 0;
  std::string tail = HumanCount(progress.frames) + " frames  " + HumanBytes(rate) + "/s  ";
  if (progress.committing) {
    tail += "syncing";
  } else if (progress.fraction > 0.005 && seconds > 0.3) {
    tail += "ETA " + HumanTime(seconds * (1 - progress.fraction) / progress.fraction);
  }
  int percent = static_cast<int>(std::clamp(progress.fraction, 0.0, 1.0) * 100);
  std::string head = name + " ";
  std::string middle = " " + std::to_string(percent) + "%  ";
  int room = columns - 3 - static_cast<int>(Width(head) + middle.size() + tail.size());
  std::string bar;
  if (room >= 8) {
    int width = std::min(room, 40);
    int filled = width * percent / 100;
    bar = "[" + std::string(static_cast<size_t>(filled), '#') +
          std::string(static_cast<size_t>(width - filled), '.') + "]";
  }
  return head + bar + middle + tail;
}

std::string ProgressJson(const ImportProgress& progress, double seconds) {
  std::string json = "{";
  Add(json, "event", std::string_view("progress"));
  Add(json, "file", progress.file);
  Add(json, "fraction", progress.fraction);
  Add(json, "frames", progress.frames);
  Add(json, "atoms", progress.atoms);
  Add(json, "raw_bytes", progress.raw_bytes);
  Add(json, "seconds", seconds);
  Add(json, "frames_per_second",
      seconds > 0 ? static_cast<double>(progress.frames) / seconds : 0.0);
  if (progress.fraction > 0)
    Add(json, "eta_seconds", seconds * (1 - progress.fraction) / progress.fraction);
  Add(json, "state",
      progress.committing ? std::string_view("committing") : std::string_view("reading"));
  return json + "}";
}

std::string SummaryText(const ImportOptions& options, const ImportSummary& summary,
                        double seconds) {
  std::string text;
  std::string atoms = HumanCount(summary.atoms) + " atoms";
  if (summary.frames > 0) {
    atoms +=
        " (" + HumanCount(summary.atoms_min) +
        (summary.atoms_min == summary.atoms_max ? "" : " to " + HumanCount(summary.atoms_max)) +
        " a frame)";
  }
  if (options.dry_run) {
    text += "Would import " + HumanCount(summary.frames) + " frames, " + atoms + ", " +
            std::to_string(summary.fields.size()) + " fields, " +
            HumanBytes(static_cast<double>(summary.raw_bytes)) + " raw:\n\n";
    std::vector<std::vector<std::string>> rows = {
        {"field", "kind", "dtype", "shape", "unit", "frames"}};
    for (const auto& [name, field] : summary.fields) {
      std::string dtype(field.dtype == DType::kJson ? "json" : ZarrName(field.dtype));
      rows.push_back({name, std::string(FieldKindName(field.kind)), dtype, ShapeText(field),
                      UnitText(field), HumanCount(field.frames)});
    }
    std::vector<size_t> widths(rows[0].size(), 0);
    for (const auto& row : rows)
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
    for (const auto& row : rows) {
      std::string line;
      for (size_t i = 0; i + 1 < row.size(); ++i) line += Padded(row[i], widths[i] + 2);
      text += "  " + line + row.back() + "\n";
    }
    text += "\nNothing was written. Read in " + HumanTime(seconds) + ".\n";
    return text;
  }
  text += "Imported " + HumanCount(summary.frames) + " frames, " + atoms + ", " +
          std::to_string(summary.fields.size()) + " fields into " +
          (summary.created_room ? "the new room " : "room ") + options.room + " in " +
          HumanTime(seconds) + ".\n";
  double raw = static_cast<double>(summary.raw_bytes);
  text += "  raw " + HumanBytes(raw) + " (" + HumanBytes(raw / std::max(seconds, 1e-9)) +
          "/s), stored " + HumanBytes(static_cast<double>(summary.stored_bytes)) + " in " +
          HumanCount(summary.chunks) + " chunks";
  if (summary.deduplicated_bytes > 0)
    text +=
        ", " + HumanBytes(static_cast<double>(summary.deduplicated_bytes)) + " were there already";
  text += "\n  commit " + summary.commit + "; the room has " + HumanCount(summary.room_frames) +
          " frames now\n";
  return text;
}

std::string SummaryJson(const ImportOptions& options, const ImportSummary& summary,
                        double seconds) {
  std::string json = "{";
  Add(json, "event", std::string_view("summary"));
  AddRaw(json, "dry_run", options.dry_run ? "true" : "false");
  if (!options.dry_run) {
    Add(json, "room", options.room);
    AddRaw(json, "created", summary.created_room ? "true" : "false");
    Add(json, "commit", summary.commit);
    Add(json, "room_frames", summary.room_frames);
    Add(json, "stored_bytes", summary.stored_bytes);
    Add(json, "deduplicated_bytes", summary.deduplicated_bytes);
    Add(json, "chunks", summary.chunks);
  }
  Add(json, "frames", summary.frames);
  Add(json, "atoms", summary.atoms);
  Add(json, "atoms_min", static_cast<int64_t>(summary.atoms_min));
  Add(json, "atoms_max", static_cast<int64_t>(summary.atoms_max));
  Add(json, "raw_bytes", summary.raw_bytes);
  Add(json, "seconds", seconds);
  std::string fields = "[";
  for (const auto& [name, field] : summary.fields) {
    std::string one = "{";
    Add(one, "name", name);
    Add(one, "kind", FieldKindName(field.kind));
    Add(one, "dtype",
        field.dtype == DType::kJson ? std::string_view("json") : ZarrName(field.dtype));
    std::string shape = "[";
    for (int64_t extent : field.inner)
      shape += (shape.size() > 1 ? "," : "") + std::to_string(extent);
    AddRaw(one, "shape", shape + "]");
    if (field.unit.empty())
      AddRaw(one, "unit", "null");
    else
      Add(one, "unit", field.unit);
    if (!field.source_unit.empty()) Add(one, "source_unit", field.source_unit);
    Add(one, "frames", field.frames);
    Add(one, "raw_bytes", field.bytes);
    fields += (fields.size() > 1 ? "," : "") + one + "}";
  }
  AddRaw(json, "fields", fields + "]");
  std::string warnings = "[";
  for (const auto& [file, warning] : summary.warnings) {
    std::string one = "{";
    if (!file.empty()) Add(one, "file", file);
    if (!warning.place.empty()) Add(one, "place", warning.place);
    Add(one, "message", warning.message);
    Add(one, "count", warning.count);
    warnings += (warnings.size() > 1 ? "," : "") + one + "}";
  }
  AddRaw(json, "warnings", warnings + "]");
  return json + "}";
}

std::string FailureJson(const Failure& failure) {
  std::string json = "{";
  Add(json, "event", std::string_view("error"));
  Add(json, "code", ErrorCodeName(failure.error.code));
  Add(json, "message", failure.error.message);
  Add(json, "exit_code", static_cast<int64_t>(ExitCodeOf(failure)));
  return json + "}";
}

ProgressReporter::ProgressReporter(Mode mode) : mode_(mode) {
  if (mode_ != Mode::kNone) thread_ = std::thread([this] { Run(); });
}

ProgressReporter::~ProgressReporter() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (mode_ == Mode::kBar) std::fputs("\r\x1b[K", stderr);
}

void ProgressReporter::Update(const ImportProgress& progress) {
  if (mode_ == Mode::kNone) return;
  std::lock_guard lock(mutex_);
  progress_ = progress;
  any_ = true;
}

void ProgressReporter::Run() {
  const auto interval =
      mode_ == Mode::kJson ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(100);
  std::unique_lock lock(mutex_);
  auto next = begin_ + interval;
  while (!wake_.wait_until(lock, next, [&] { return stopping_; })) {
    next += interval;
    if (!any_) continue;
    ImportProgress progress = progress_;
    lock.unlock();
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    if (mode_ == Mode::kJson) {
      std::string line = ProgressJson(progress, seconds) + "\n";
      std::fwrite(line.data(), 1, line.size(), stdout);
      std::fflush(stdout);
    } else {
      winsize size{};
      int columns =
          ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
      std::string line = "\r\x1b[K" + ProgressLine(progress, seconds, columns);
      std::fwrite(line.data(), 1, line.size(), stderr);
    }
    lock.lock();
  }
}

}  // namespace zn::tools
