#include "export_report.h"

#include <algorithm>

namespace zn::tools {
namespace {

std::string ShapeText(const FieldDescriptor& field) {
  std::string text = field.kind == FieldKind::kAtom     ? "(frames, atoms"
                     : field.kind == FieldKind::kRagged ? "(frames, rows"
                                                        : "(frames";
  for (const int64_t extent : field.inner) text += ", " + std::to_string(extent);
  return text + ")";
}

std::string_view TypeText(const FieldDescriptor& field) {
  return field.dtype == DType::kJson ? "json" : ZarrName(field.dtype);
}

}  // namespace

std::string SummaryText(const ExportOptions& options, const ExportSummary& summary,
                        double seconds) {
  const std::string what = HumanCount(summary.frames) + " frames, " +
                           std::to_string(summary.fields) + " fields of " + summary.room + "@" +
                           summary.commit;
  if (options.dry_run) {
    std::string text =
        "Would export " + what + " to " + options.out + " as " + summary.format + ":\n\n";
    std::vector<std::vector<std::string>> rows = {{"field", "dtype", "shape"}};
    for (const FieldDescriptor& field : summary.descriptors)
      rows.push_back({field.name, std::string(TypeText(field)), ShapeText(field)});
    return text + Table(rows) + "\nNothing was written.\n";
  }
  const auto bytes = static_cast<double>(summary.bytes);
  std::string text =
      "Exported " + what + " to " + options.out + " in " + HumanTime(seconds) + ".\n";
  text += "  " + summary.format + ", " + HumanBytes(bytes) + " (" +
          HumanBytes(bytes / std::max(seconds, 1e-9)) + "/s), " + HumanCount(summary.files) +
          (summary.files == 1 ? " file written" : " files written");
  if (summary.files_kept > 0) text += ", " + HumanCount(summary.files_kept) + " were there already";
  if (summary.chunks_copied + summary.chunks_encoded > 0)
    text += "\n  chunks: " + HumanCount(summary.chunks_copied) + " as they are stored, " +
            HumanCount(summary.chunks_encoded) + " encoded anew";
  return text + "\n";
}

std::string SummaryJson(const ExportOptions& options, const ExportSummary& summary,
                        double seconds) {
  JsonObject json;
  json.Add("event", std::string_view("summary"));
  json.AddFlag("dry_run", options.dry_run);
  json.Add("room", summary.room);
  json.Add("commit", summary.commit);
  json.Add("out", options.out);
  json.Add("format", summary.format);
  json.Add("frames", summary.frames);
  if (!options.dry_run) {
    json.Add("files", summary.files);
    json.Add("files_kept", summary.files_kept);
    json.Add("bytes", summary.bytes);
    json.Add("chunks_copied", summary.chunks_copied);
    json.Add("chunks_encoded", summary.chunks_encoded);
    json.Add("seconds", seconds);
  }
  std::vector<std::string> fields, warnings;
  for (const FieldDescriptor& field : summary.descriptors) {
    JsonObject one;
    one.Add("name", field.name);
    one.Add("kind", FieldKindName(field.kind));
    one.Add("dtype", TypeText(field));
    fields.push_back(std::move(one).Take());
  }
  json.AddRaw("fields", JsonList(fields));
  for (const std::string& warning : summary.warnings) {
    JsonObject one;
    one.Add("message", warning);
    warnings.push_back(std::move(one).Take());
  }
  json.AddRaw("warnings", JsonList(warnings));
  return std::move(json).Take();
}

}  // namespace zn::tools
