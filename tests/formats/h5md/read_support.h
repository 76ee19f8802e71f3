// Reading whole files in tests: batches checked and joined as JSON frames, sample data, Python.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "source_dir.h"
#include "support/temp_dir.h"
#include "zn/formats/reader.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {

/// A file read to its end.
struct ReadFile {
  std::vector<std::string> frames;  // JSON, one a frame
  std::vector<FrameBatch> batches;
  std::vector<Warning> warnings;

  nlohmann::json Frame(size_t i) const { return nlohmann::json::parse(frames.at(i)); }
  bool Warned(const std::string& place, const std::string& part) const {
    for (const Warning& w : warnings)
      if (w.place.find(place) != std::string::npos && w.message.find(part) != std::string::npos)
        return true;
    return false;
  }
  const Column* Find(const std::string& name) const {
    return batches.empty() ? nullptr : batches[0].Find(name);
  }
};

inline Result<ReadFile> ReadWhole(const std::string& path, const ReadOptions& options = {}) {
  ZN_ASSIGN_OR_RETURN(auto reader, OpenReader(path, options));
  ReadFile file;
  while (true) {
    ZN_ASSIGN_OR_RETURN(auto batch, reader->Next());
    if (!batch) break;
    ZN_RETURN_IF_ERROR(ValidateBatch(*batch));
    for (int64_t f = 0; f < batch->frames(); ++f) {
      std::string text;
      AppendJsonFrame(*batch, static_cast<size_t>(f), text);
      file.frames.push_back(std::move(text));
    }
    file.batches.push_back(std::move(*batch));
  }
  file.warnings = reader->warnings();
  if (reader->total_frames() != static_cast<int64_t>(file.frames.size())) {
    return Error{ErrorCode::kInternal, "total_frames() is not how many there were"};
  }
  return file;
}

inline std::string SharedData() {
  const char* named = std::getenv("ZN_SHARED_DATA");
  return named ? named : std::string(ZN_SOURCE_DIR) + "/../shared/data";
}

inline bool HasSharedData() { return std::filesystem::exists(SharedData() + "/expected.json"); }

/// Debian's python, which has h5py; another may stand first in PATH.
inline int RunPython(const std::string& arguments) {
  return std::system(("/usr/bin/python3 " + arguments).c_str());
}
inline bool HasH5py() {
  static const bool has = RunPython("-c 'import h5py, numpy' 2>/dev/null") == 0;
  return has;
}
inline std::string HereScript(const std::string& name) {
  return std::string(ZN_SOURCE_DIR) + "/tests/formats/h5md/" + name;
}

}  // namespace zn::formats
