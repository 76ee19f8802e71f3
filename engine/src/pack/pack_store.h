// Packs: append-only files of bulk chunks, written before the log names them.
//
// Implementations: OpenPackStore over a FileSystem. OpenLocalPackStore keeps
// STORE/packs/NNNNNN.pack, sealed at 1 GiB or at a clean close with NNNNNN.idx, sorted by name.
// OpenMemoryPackStore (memory_pack_store.h, for tests) runs the same code over a disk image that
// loses, tears and fails on demand. Both pass tests/engine/pack/pack_conformance.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "log/record.h"
#include "pack/pack_format.h"
#include "zn/engine/buffer.h"
#include "zn/engine/byte_source.h"
#include "zn/engine/error.h"

namespace zn {

class PackStore {
 public:
  virtual ~PackStore() = default;

  /// Adds a record (a chunk, or a tree node of a bulk commit) to the open pack. Thread-safe;
  /// payloads of concurrent callers are written in parallel. The bytes are not durable before Sync.
  /// `name` is the payload's sha256, which callers compute in parallel beforehand. After a failed
  /// write or sync every further call is kUnavailable.
  virtual Result<RecordRef> Put(RecordType type, const Sha256& name,
                                std::span<const std::byte> payload) = 0;

  /// Makes everything that was Put before the call durable: files, then their directory entries.
  virtual Result<> Sync() = 0;

  /// The record with this name, if some pack holds it: for deduplication. Records of sealed packs,
  /// checked, and those of this process's own Puts; not those of a pack that a crash left unsealed,
  /// which may not be on the disk. Memory is bounded: sealed packs are searched through their
  /// mapped index.
  virtual std::optional<RecordRef> Find(const Sha256& name) const = 0;

  /// The payload, in place; its checksums are compared on first use in this process (kCorrupt
  /// naming pack and offset). The Buffer keeps the map alive. A collected pack's moved table is
  /// followed. kNotFound when the pack is gone.
  virtual Result<Buffer> Read(const RecordRef& ref) const = 0;

  /// The same in parts: only the 4 KiB blocks that are fetched are read and checked. The source
  /// keeps the map alive; the store must outlive it.
  virtual Result<std::unique_ptr<ByteSource>> Open(const RecordRef& ref) const = 0;

  /// An open descriptor of the file that holds `ref`, checked, for sendfile; valid as long as the
  /// store, also when the pack is collected. kNotFound when the record was moved: then Read it.
  virtual Result<int> Descriptor(const RecordRef& ref) const = 0;

  // For the collection, one thread at a time. Packs that are only read need none of it.

  struct Pack {
    uint32_t number = 0;
    uint64_t size = 0;
    bool collected = false;  // has a table of moves: to be removed
  };
  /// The packs that take no more records, by number.
  virtual Result<std::vector<Pack>> ListClosed() const { return Uncollected(); }
  /// Ends packs of at least so many bytes, so that they are closed once their Puts are done.
  virtual Result<> Close(uint64_t /*least*/) { return Uncollected(); }
  /// Packs with this number and greater ones may get more records.
  virtual uint32_t FirstWritable() const { return 1; }
  /// A record on its way through packs that are gone: by number and offset.
  using Hop = std::pair<uint32_t, uint64_t>;
  /// Where the record is now; the hops it took are appended. Its bytes are not looked at. Errors as Read.
  virtual Result<RecordRef> Locate(const RecordRef& ref, std::vector<Hop>* /*hops*/) const { return ref; }
  /// The records of a pack that is there, up to the first that is not valid.
  virtual Result<PackScan> Scan(uint32_t /*pack*/) const { return Uncollected(); }
  /// Writes the pack's table of moves, durably; from then on its records are read where they went. REQUIRES: what moved
  /// is synced in its new place.
  virtual Result<> Replace(uint32_t /*pack*/, std::vector<Move> /*moves*/) { return Uncollected(); }
  /// Removes a pack that has a table of moves.
  virtual Result<> Remove(uint32_t /*pack*/) { return Uncollected(); }
  /// The tables of packs that are gone.
  virtual Result<std::vector<uint32_t>> ListMoved() const { return Uncollected(); }
  virtual Result<std::vector<Move>> Moves(uint32_t /*pack*/) const { return Uncollected(); }
  /// Removes the table of a pack that is gone. REQUIRES: nothing refers to the pack, and there is a pack with a greater
  /// number, so that its number stays taken.
  virtual Result<> RemoveMoves(uint32_t /*pack*/) { return Uncollected(); }

  struct Stats {
    int64_t packs = 0, bytes_written = 0;
  };
  virtual Stats stats() const = 0;

 private:
  static Error Uncollected() { return {ErrorCode::kUnsupported, "these packs are not collected"}; }
};

struct PackStoreOptions {
  std::string directory;   // STORE/packs
  std::string quarantine;  // STORE/quarantine
  uint32_t salt = 0;
  bool read_only = false;
  int64_t seal_bytes = int64_t{1} << 30;
  size_t recent_names = 1 << 16;  // names of unsealed packs kept in memory for Find
};
using LocalPackStoreOptions = PackStoreOptions;

/// A pack that a crash left unsealed is kept as it is (the log says what in it is alive) and not
/// appended to; new records go to a new pack.
Result<std::unique_ptr<PackStore>> OpenPackStore(std::shared_ptr<FileSystem> files,
                                                 const PackStoreOptions& options);

/// OpenPackStore over the local disk.
Result<std::unique_ptr<PackStore>> OpenLocalPackStore(const LocalPackStoreOptions& options);

}  // namespace zn
