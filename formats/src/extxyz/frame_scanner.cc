#include "extxyz/frame_scanner.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "extxyz/number.h"
#include "extxyz/place.h"

namespace zn::formats {
namespace {

// An atom count has a few digits; a longer first line is no count, and need not be waited for.
constexpr size_t kMaxCountLine = 4096;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::string Lines(int64_t count) {
  return std::to_string(count) + (count == 1 ? " atom line" : " atom lines");
}

}  // namespace

void FrameScanner::Drop(size_t bytes) {
  begin_ -= bytes;
  at_ -= bytes;
  searched_ = searched_ > bytes ? searched_ - bytes : 0;
  frame_.comment -= std::min(frame_.comment, bytes);
  frame_.atoms -= std::min(frame_.atoms, bytes);
}

Result<> FrameScanner::Scan(std::string_view text, bool last, int64_t remaining_bound,
                            size_t max_frames, std::vector<FrameSpan>& frames) {
  const char* const data = text.data();
  auto finish = [&] {
    frame_.end = std::min(at_, text.size());
    frames.push_back(frame_);
    ++next_index_;
    begin_ = at_;
    state_ = State::kCount;
  };
  while (frames.size() < max_frames) {
    // Most lines are atoms': the count of newlines is all that matters of them.
    if (state_ == State::kAtoms) {
      const char* p = data + std::max(at_, searched_);
      const char* const end = data + text.size();
      while (atoms_left_ > 0) {
        const char* newline =
            static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
        if (newline == nullptr) break;
        p = newline + 1;
        at_ = static_cast<size_t>(p - data);
        --atoms_left_;
        ++line_;
      }
      if (atoms_left_ == 1 && last && at_ < text.size()) {  // no newline at the end of the file
        at_ = text.size();
        --atoms_left_;
        ++line_;
      }
      if (atoms_left_ == 0) {
        finish();
        continue;
      }
      searched_ = text.size();
      if (!last) return {};
      return AtLine(frame_, line_,
                    "the file ends after " + Lines(frame_.n_atoms - atoms_left_) + " of " +
                        std::to_string(frame_.n_atoms) +
                        "; it was cut short, or the atom count is wrong");
    }

    size_t from = std::max(at_, searched_);
    const void* newline =
        from < text.size() ? std::memchr(data + from, '\n', text.size() - from) : nullptr;
    if (newline == nullptr) {
      searched_ = text.size();
      if (state_ == State::kCount && text.size() - at_ > kMaxCountLine) {
        frame_.index = next_index_;
        return AtLine(frame_, line_,
                      "expected the number of atoms, found " + Shown(text.substr(at_)) +
                          "; this is not an xyz file, or it is damaged here");
      }
      if (!last) return {};
    }
    size_t line_end = newline != nullptr
                          ? static_cast<size_t>(static_cast<const char*>(newline) - data)
                          : text.size();
    std::string_view line = text.substr(at_, line_end - at_);
    size_t next = newline != nullptr ? line_end + 1 : text.size();

    if (state_ == State::kComment) {
      if (newline == nullptr && at_ == text.size() && frame_.n_atoms > 0) {
        return AtLine(frame_, line_, "the file ends before the comment line; it was cut short");
      }
      frame_.comment = at_;
      frame_.atoms = next;
      at_ = next;
      ++line_;
      atoms_left_ = frame_.n_atoms;
      state_ = State::kAtoms;
      continue;
    }

    frame_.index = next_index_;
    frame_.line = line_;
    if (start_of_file_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    std::string_view word = Trim(line);
    if (word.empty()) {
      if (newline == nullptr) {  // the end
        begin_ = at_ = text.size();
        return {};
      }
      ++blank_lines_;
      ++line_;
      begin_ = at_ = next;
      start_of_file_ = false;
      continue;
    }
    start_of_file_ = false;
    std::optional<int64_t> count = ParseInt(word);
    if (!count) {
      std::string message = "expected the number of atoms, found " + Shown(word);
      if (next_index_ > 0) {
        message += "; the frame before may have more or fewer atom lines than its count says";
      } else {
        message += "; this is not an xyz file, or it is damaged here";
      }
      // "99999999999999999999" is a number all the same.
      if (word.find_first_not_of("0123456789") == std::string_view::npos) {
        message = "the atom count " + Shown(word) + " is absurd; the file is damaged here";
      }
      return AtLine(frame_, line_, std::move(message));
    }
    if (*count < 0) {
      return AtLine(
          frame_, line_,
          "the atom count " + std::to_string(*count) + " is negative; the file is damaged here");
    }
    // An atom line has two bytes at least, but for the newline at the very end.
    int64_t left = static_cast<int64_t>(text.size() - next);
    left = remaining_bound > INT64_MAX - left ? INT64_MAX : left + remaining_bound;
    if (*count > kMaxAtoms || *count > left / 2 + 1) {
      return AtLine(frame_, line_,
                    "the atom count " + std::to_string(*count) +
                        (*count > kMaxAtoms ? " is beyond 2147483647"
                                            : " is more than the rest of the file has room for") +
                        "; the file is damaged or was cut short");
    }
    blank_lines_between_ += next_index_ > 0 ? blank_lines_ : 0;
    blank_lines_ = 0;
    begin_ = at_;
    frame_.n_atoms = *count;
    at_ = next;
    ++line_;
    state_ = State::kComment;
    if (newline == nullptr) {
      if (*count > 0)
        return AtLine(frame_, line_, "the file ends before the comment line; it was cut short");
      frame_.comment = frame_.atoms = at_;
      finish();
    }
  }
  return {};
}

}  // namespace zn::formats
