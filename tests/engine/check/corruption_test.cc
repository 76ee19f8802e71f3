// Seeded damage to small stores: every kind is found, or lies where no read can meet it; a backup
// heals all of it byte for byte; without one, no read ever gives wrong bytes. And sound stores of
// random histories are called sound.
//
// ZN_CORRUPTIONS and ZN_SOUND_STORES say how many; docs/testing.md has the long run.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "engine/check/corrupt_store.h"
#include "log/group.h"
#include "pack/pack_format.h"
#include "room/records.h"
#include "room/superblock.h"

namespace zn {
namespace {

using check_test::Files;
using check_test::Model;
namespace fs = std::filesystem;

int Count(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atoi(text) : otherwise;
}

struct Damage {
  std::string kind, file;
  uint64_t begin = 0, end = 0;  // of the bytes that differ from the sound file
};

std::string Describe(const Damage& damage) {
  return damage.kind + " of " + damage.file + " [" + std::to_string(damage.begin) + ", " +
         std::to_string(damage.end) + ")";
}

struct PlacedRecord {
  RecordType type;
  uint64_t begin, payload, length;
};

/// The records of a log file that is sound.
std::vector<PlacedRecord> LogRecords(const std::string& name, std::span<const std::byte> bytes,
                                     uint32_t salt) {
  std::vector<PlacedRecord> records;
  const uint32_t number = ParseLogFileName(name.substr(4));
  for (uint64_t at = 0; at < bytes.size();) {
    const auto group = DecodeGroupHeader(bytes.subspan(at), {number, at}, salt);
    if (!group) break;
    EXPECT_TRUE(VisitGroup(
        *group, bytes.subspan(at), salt, true,
        [&](const RecordHeader& header, uint64_t offset, std::span<const std::byte>) -> Result<> {
          records.push_back({header.type, offset - kRecordHeaderSize, offset, header.length});
          return {};
        }));
    at = group->end().offset;
  }
  return records;
}

/// Puts an older ref of the same room, with its own right checksums, in place of the newest one
/// that has its length.
bool StaleRef(Files& files, uint32_t salt, std::mt19937_64& random, Damage& damage) {
  struct Ref {
    std::string file;
    PlacedRecord at;
    uint64_t room;
  };
  std::vector<Ref> refs;
  for (const auto& [name, bytes] : files) {
    if (!name.starts_with("log/")) continue;
    for (const PlacedRecord& record : LogRecords(name, bytes, salt)) {
      if (record.type != RecordType::kRef) continue;
      const auto ref =
          DecodeRef(std::span<const std::byte>(bytes).subspan(record.payload, record.length));
      if (ref && !ref->deleted) refs.push_back({name, record, ref->room});
    }
  }
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t newer = 0; newer < refs.size(); ++newer)
    for (size_t older = 0; older < newer; ++older)
      if (refs[older].room == refs[newer].room && refs[older].at.length == refs[newer].at.length)
        pairs.emplace_back(older, newer);
  if (pairs.empty()) return false;
  const auto [from, to] = pairs[random() % pairs.size()];
  const std::vector<std::byte> source = files[refs[from].file];
  const uint64_t size = kRecordHeaderSize + refs[from].at.length;
  std::vector<std::byte>& target = files[refs[to].file];
  const bool same =
      std::equal(source.begin() + static_cast<std::ptrdiff_t>(refs[from].at.begin),
                 source.begin() + static_cast<std::ptrdiff_t>(refs[from].at.begin + size),
                 target.begin() + static_cast<std::ptrdiff_t>(refs[to].at.begin));
  if (same) return false;
  std::copy_n(source.begin() + static_cast<std::ptrdiff_t>(refs[from].at.begin), size,
              target.begin() + static_cast<std::ptrdiff_t>(refs[to].at.begin));
  damage = {"stale ref", refs[to].file, refs[to].at.begin, refs[to].at.begin + size};
  return true;
}

Damage Corrupt(Files& files, uint32_t salt, std::mt19937_64& random) {
  for (;;) {
    auto file = std::next(files.begin(), static_cast<std::ptrdiff_t>(random() % files.size()));
    std::vector<std::byte>& bytes = file->second;
    const std::string name = file->first;
    Damage damage;
    if (bytes.empty() || name == "lock") continue;
    const std::vector<std::byte> before = bytes;
    switch (random() % 8) {
      case 0:
      case 1: {
        bytes[random() % bytes.size()] ^= static_cast<std::byte>(1 << random() % 8);
        damage.kind = "flip";
        break;
      }
      case 2:
        bytes.resize(random() % bytes.size());
        damage.kind = "truncate";
        break;
      case 3: {
        const uint64_t at = random() % bytes.size();
        const uint64_t size = std::min<uint64_t>(1 + random() % 9000, bytes.size() - at);
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, std::byte{0});
        damage.kind = "zero";
        break;
      }
      case 4: {  // two blocks of a file
        const uint64_t blocks = bytes.size() / 4096;
        if (blocks < 2) continue;
        const uint64_t a = random() % blocks, b = random() % blocks;
        std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(a * 4096),
                         bytes.begin() + static_cast<std::ptrdiff_t>(a * 4096 + 4096),
                         bytes.begin() + static_cast<std::ptrdiff_t>(b * 4096));
        damage.kind = "swap";
        break;
      }
      case 5:
        damage = {"delete", name, 0, bytes.size()};
        files.erase(file);
        return damage;
      case 6: {
        for (int i = 0; i < 64; ++i)
          bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        damage.kind = "scatter";
        break;
      }
      default:
        if (StaleRef(files, salt, random, damage)) return damage;
        continue;
    }
    damage.file = name;
    const size_t common = std::min(before.size(), bytes.size());
    size_t first = 0;
    while (first < common && before[first] == bytes[first]) ++first;
    size_t last = std::max(before.size(), bytes.size());
    if (before.size() == bytes.size())
      while (last > first && before[last - 1] == bytes[last - 1]) --last;
    if (first == last) continue;  // nothing changed
    damage.begin = first;
    damage.end = last;
    return damage;
  }
}

/// Which bytes of a sound file anybody reads: not the padding of records, of tables of checksums
/// and of groups.
std::vector<bool> ReadBytes(const std::string& name, const std::vector<std::byte>& bytes,
                            uint32_t salt) {
  const bool log = name.starts_with("log/");
  if (!log && !name.ends_with(".pack")) return std::vector<bool>(bytes.size(), true);
  std::vector<bool> read(bytes.size(), false);
  const auto mark = [&](uint64_t begin, uint64_t end) {
    std::fill(read.begin() + static_cast<std::ptrdiff_t>(begin),
              read.begin() + static_cast<std::ptrdiff_t>(end), true);
  };
  if (log) {
    const uint32_t number = ParseLogFileName(name.substr(4));
    for (uint64_t at = 0; at < bytes.size();) {
      const auto group = DecodeGroupHeader(std::span(bytes).subspan(at), {number, at}, salt);
      if (!group) break;
      mark(at, at + kGroupHeaderSize);
      at = group->end().offset;
    }
    for (const PlacedRecord& record : LogRecords(name, bytes, salt))
      mark(record.begin, record.payload + record.length);
    return read;
  }
  mark(0, kPackHeaderSize);
  for (const PackEntry& entry : ScanPack(bytes, salt, true).entries) {
    const uint64_t begin = entry.offset - PackRecordHeadSize(entry.length);
    const uint64_t blocks =
        entry.length > kCheckBlock ? (entry.length + kCheckBlock - 1) / kCheckBlock : 0;
    mark(begin, begin + kRecordHeaderSize + 4 * blocks);
    mark(entry.offset, entry.offset + entry.length);
  }
  return read;
}

/// The same in every byte that anybody reads?
bool SameWhereRead(const std::string& name, const std::vector<std::byte>& before,
                   const std::vector<std::byte>& after, uint32_t salt) {
  const std::vector<bool> read = ReadBytes(name, before, salt);
  for (uint64_t at = 0; at < before.size(); ++at)
    if (read[at] && (at >= after.size() || before[at] != after[at])) return false;
  return true;
}

/// The rule by which damage may go unnoticed: it lies in bytes that nobody reads (padding, `head`,
/// which is passed over when it is damaged), or a pack's index is missing, which only costs
/// deduplication.
bool IsHarmless(const Damage& damage, const Files& sound, const Files& now, uint32_t salt) {
  if (damage.file == "head" || damage.file == "lock") return true;
  if (damage.kind == "delete") return damage.file.ends_with(".idx");
  return SameWhereRead(damage.file, sound.at(damage.file), now.at(damage.file), salt);
}

struct Outcome {
  bool opened = false;  // else: the superblock's own damage
  RepairSummary summary;
  std::string text;
  bool told = false;  // of anything
  bool went_back = false;
};

Outcome Repair(const std::string& path, BackupRepository* backup) {
  RepairOptions options;
  options.check.threads = 1;
  options.dry_run = false;
  options.backup = backup;
  Outcome outcome;
  const auto summary = RepairStore(
      path, options,
      [&](const Finding& finding) {
        outcome.told |= finding.kind != FindingClass::kOrphan;
        outcome.text += std::string(FindingName(finding.kind)) + (finding.note ? " (note) " : " ") +
                        finding.object + ": " + finding.message + "\n";
      },
      [&](const RepairAction& action) {
        outcome.told = true;
        outcome.went_back |= action.object == "rooms";
        outcome.text += std::string(RepairActionName(action.kind)) + " " + action.object + ": " +
                        action.message + "\n";
      });
  outcome.opened = summary.has_value();
  if (summary) outcome.summary = *summary;
  if (!summary) outcome.text += summary.error().message + "\n";
  return outcome;
}

TEST(Corruption, IsFoundAndHealed) {
  const int count = Count("ZN_CORRUPTIONS", 160);
  const auto seed = static_cast<uint64_t>(Count("ZN_CORRUPTION_SEED", 1));
  constexpr int kEach = 40;  // damages of one store
  std::map<std::string, int> kinds;
  int found = 0, harmless = 0, healed = 0, alone = 0, lost = 0, wrong = 0;
  TempDir dir;
  const std::string path = dir.path() + "/s";
  for (int done = 0; done < count && wrong < 3;) {
    const uint64_t store_seed = seed * 1'000'000 + static_cast<uint64_t>(done);
    const std::string sound_path = dir.path() + "/sound";
    fs::remove_all(sound_path);
    fs::remove_all(dir.path() + "/backup");
    check_test::MakeRandomStore(sound_path, store_seed);
    if (::testing::Test::HasFatalFailure()) return;
    const Files sound = check_test::ReadFiles(sound_path);
    const Model model = check_test::ReadModel(sound_path);
    const uint32_t salt = DecodeSuperblock(sound.at("superblock"))->record_salt;
    auto backup = BackupRepository::Create(dir.path() + "/backup", {});
    ASSERT_TRUE(backup);
    ASSERT_TRUE((*backup)->Backup(sound_path, {}, {}));
    for (int i = 0; i < kEach && done < count; ++i, ++done) {
      std::mt19937_64 random(store_seed * 1000 + static_cast<uint64_t>(i));
      Files files = sound;
      const Damage damage = Corrupt(files, salt, random);
      ++kinds[damage.kind];
      const std::string what = "store " + std::to_string(store_seed) + ", damage " +
                               std::to_string(i) + ": " + Describe(damage) + "\n";
      const auto fail = [&](const std::string& message, const std::string& text) {
        ADD_FAILURE() << what << message << "\n" << text;
        ++wrong;
      };

      // With a backup.
      check_test::WriteFiles(path, files);
      const Outcome with = Repair(path, backup->get());
      const bool is_harmless = IsHarmless(damage, sound, files, salt);
      if (!with.told && !is_harmless) fail("not found", with.text);
      with.told ? ++found : ++harmless;
      if (!with.opened || !with.summary.all_mended()) fail("not mended", with.text);
      if (check_test::ReadModel(path) != model) fail("reads differ after a repair", with.text);
      if (!is_harmless) {
        Files now = check_test::ReadFiles(path), then = sound;
        for (Files* each : {&now, &then})
          for (const char* name : {"head", "lock"}) each->erase(name);
        for (const auto& [name, bytes] : then)
          if (!SameWhereRead(name, bytes, now[name], salt))
            fail(name + " is not as it was", with.text);
        ++healed;
      }
      const Outcome again = Repair(path, nullptr);
      if (again.summary.actions() > 0 || !again.opened)
        fail("a second run had to do", with.text + "second:\n" + again.text);

      // On its own: every read gives what it gave, or an error; but rooms may have gone back.
      if (damage.file == "superblock") continue;
      check_test::WriteFiles(path, files);
      const Outcome without = Repair(path, nullptr);
      if (!without.opened) fail("no repair without a backup", without.text);
      const Outcome repeated = Repair(path, nullptr);
      if (repeated.summary.actions() > 0)
        fail("a second run without a backup had to do", without.text + "second:\n" + repeated.text);
      without.summary.all_mended() ? ++alone : ++lost;
      const Model now = check_test::ReadModel(path);
      if (now.count("store") != 0) fail("does not open: " + now.at("store"), without.text);
      for (const auto& [name, value] : now) {
        if (without.went_back || value.starts_with("error: ")) continue;
        const auto was = model.find(name);
        if (was == model.end() || was->second != value) {
          fail("wrong bytes of " + name, without.text);
          break;
        }
      }
      if (without.summary.all_mended() && now != model)
        fail("mended, but reads differ", without.text);
    }
  }
  std::printf(
      "%d found, %d harmless; with a backup %d healed byte for byte; without one %d mended, %d "
      "with losses\n",
      found, harmless, healed, alone, lost);
  for (const auto& [kind, number] : kinds) std::printf("  %s: %d\n", kind.c_str(), number);
}

TEST(Corruption, SoundStoresGiveNoFinding) {
  const int count = Count("ZN_SOUND_STORES", 30);
  const auto seed = static_cast<uint64_t>(Count("ZN_CORRUPTION_SEED", 1));
  TempDir dir;
  for (int i = 0; i < count; ++i) {
    const std::string path = dir.path() + "/" + std::to_string(i);
    check_test::MakeRandomStore(path, seed * 7'000'000 + static_cast<uint64_t>(i));
    if (::testing::Test::HasFatalFailure()) return;
    CheckOptions options;
    options.level = CheckLevel::kDeep;
    options.threads = 1;
    const auto summary = CheckStore(path, options, [&](const Finding& finding) {
      ADD_FAILURE() << "store " << i << ": " << FindingName(finding.kind) << " " << finding.object
                    << ": " << finding.message;
    });
    ASSERT_TRUE(summary) << summary.error().message;
    fs::remove_all(path);
  }
}

}  // namespace
}  // namespace zn
