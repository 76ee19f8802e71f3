// What the formats' tests share: files of a test, batches joined, a frame's value as JSON.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "source_dir.h"
#include "zn/formats/reader.h"
#include "zn/formats/text_writer.h"

namespace zn::formats::testing {

/// A folder of its own, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "zn-formats-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, std::string_view content) const {
    std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  std::string path_;
};

/// The shared sample files; empty where they are not.
inline std::string SharedData() {
  const char* given = std::getenv("ZN_SHARED_DATA");
  std::string path = given != nullptr ? given : std::string(ZN_SOURCE_DIR) + "/../shared/data";
  return std::filesystem::exists(path + "/expected.json") ? path : "";
}

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

struct ReadResult {
  std::vector<nlohmann::json> frames;  // as AppendJsonFrame shows them
  std::vector<int32_t> n_atoms;
  std::vector<Warning> warnings;
  std::string error;  // "" at the end of a good file
  ErrorCode code = ErrorCode::kInternal;
  size_t batches = 0;
};

/// Everything a format gives of a file, every batch checked with ValidateBatch.
inline ReadResult ReadAll(const Format& format, const std::string& path,
                          const ReadOptions& options = {}) {
  ReadResult result;
  auto reader = format.open(path, options);
  if (!reader) {
    result.error = reader.error().message;
    result.code = reader.error().code;
    return result;
  }
  while (true) {
    auto batch = (*reader)->Next();
    if (!batch) {
      result.error = batch.error().message;
      result.code = batch.error().code;
      break;
    }
    if (!*batch) break;
    ++result.batches;
    auto valid = ValidateBatch(**batch);
    EXPECT_TRUE(valid) << valid.error().message;
    FrameRows rows(**batch);
    for (size_t f = 0; f < (*batch)->n_atoms.size(); ++f) {
      std::string json;
      AppendJsonFrame(rows, f, json);
      result.frames.push_back(nlohmann::json::parse(json));
      result.n_atoms.push_back((*batch)->n_atoms[f]);
    }
  }
  result.warnings = (*reader)->warnings();
  return result;
}

/// Every frame's fields exactly: name -> kind, dtype, attributes, shape and bytes. Appends to
/// `frames`.
inline void AddContents(const FrameBatch& batch,
                        std::vector<std::map<std::string, std::string>>* frames) {
  const FrameRows rows(batch);
  for (size_t f = 0; f < batch.n_atoms.size(); ++f) {
    auto& frame = frames->emplace_back();
    frame["n_atoms"] = std::to_string(batch.n_atoms[f]);
    for (size_t c = 0; c < batch.columns.size(); ++c) {
      const Column& column = batch.columns[c];
      if (!rows.Has(c, f)) continue;
      std::string value = std::string(FieldKindName(column.kind)) + " " +
                          std::string(NumpyName(column.dtype)) + " " +
                          (column.attributes == "{}" ? "" : column.attributes) + " ";
      if (column.dtype == DType::kJson) {
        value += rows.Text(c, f);
      } else {
        const auto bytes = rows.Bytes(c, f);
        value += rows.ShapeOf(c, f).ToString() + " ";
        value.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
      frame[column.name] = std::move(value);
    }
  }
}

/// The same of a whole file; `error` is set when it cannot be read.
inline std::vector<std::map<std::string, std::string>> FileContents(
    const std::string& path, std::string* error, const ReadOptions& options = {}) {
  std::vector<std::map<std::string, std::string>> frames;
  auto reader = OpenReader(path, options);
  while (reader) {
    auto batch = (*reader)->Next();
    if (!batch) {
      *error = batch.error().message;
      return frames;
    }
    if (!*batch) return frames;
    auto valid = ValidateBatch(**batch);
    EXPECT_TRUE(valid) << valid.error().message;
    AddContents(**batch, &frames);
  }
  *error = reader.error().message;
  return frames;
}

inline Column MakeColumn(std::string name, FieldKind kind, DType dtype, Shape inner, Buffer data) {
  Column column;
  column.name = std::move(name);
  column.kind = kind;
  column.dtype = dtype;
  column.inner = inner;
  column.data = std::move(data);
  return column;
}

}  // namespace zn::formats::testing
