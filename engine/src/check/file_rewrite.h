// Changing files of a damaged store so that a kill at any moment costs nothing: what goes is kept
// in quarantine/ first, and a file is made anew beside its place.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "zn/engine/error.h"

namespace zn::check {

/// Of a file that is being made anew; a copy, which a later run removes.
inline constexpr std::string_view kRewriteSuffix = ".repair.tmp";

/// STORE/quarantine. Whatever is put there has NAME.reason beside it: what it was, why it is there,
/// since when.
class Quarantine {
 public:
  Quarantine(std::string store, std::function<int64_t()> clock)
      : store_(std::move(store)), clock_(std::move(clock)) {}

  /// Keeps a copy of `bytes` that stood in `file` at `offset`. Durable when it returns.
  Result<> Keep(const std::string& file, uint64_t offset, std::span<const std::byte> bytes,
                std::string_view reason);
  /// Moves a file or folder of the store there.
  Result<> Move(const std::string& file, std::string_view reason);

 private:
  /// `wanted`, or `wanted`.2 and so on: the first that is not taken.
  Result<std::string> FreeName(const std::string& wanted);
  Result<> WriteReason(const std::string& name, const std::string& what, std::string_view reason);

  const std::string store_;
  const std::function<int64_t()> clock_;
};

/// Reads what can be read of [offset, offset + out.size()) of a file: zeros stand for the rest,
/// also beyond its end.
void ReadBest(const File& file, uint64_t size, uint64_t offset, std::span<std::byte> out);

/// A file of a store made anew: a copy of it with parts replaced. Nothing has happened before
/// Commit, but for what quarantine/ then holds.
class FileRewrite {
 public:
  /// Of a file that may be missing, or unreadable in parts.
  static Result<std::unique_ptr<FileRewrite>> Begin(const std::string& store,
                                                    const std::string& file,
                                                    Quarantine& quarantine);
  ~FileRewrite();  // without Commit the copy is removed

  /// The bytes that this replaces are kept first, when they differ.
  Result<> Put(uint64_t offset, std::span<const std::byte> bytes, std::string_view reason);
  Result<> Resize(uint64_t size, std::string_view reason);
  Result<> Commit();

  uint64_t size() const { return size_; }
  /// Of the copy, as changed so far.
  std::string copy_path() const { return path() + std::string(kRewriteSuffix); }

 private:
  FileRewrite(std::string store, std::string name, Quarantine& quarantine)
      : store_(std::move(store)), name_(std::move(name)), quarantine_(quarantine) {}
  std::string path() const { return store_ + "/" + name_; }

  const std::string store_, name_;
  Quarantine& quarantine_;
  File out_;
  uint64_t size_ = 0;
  bool committed_ = false;
};

/// WriteFileAtomically, with what stood there kept.
Result<> ReplaceFile(const std::string& store, const std::string& file,
                     std::span<const std::byte> bytes, std::string_view reason,
                     Quarantine& quarantine);

}  // namespace zn::check
