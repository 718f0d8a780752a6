// How RocksDB is set up for a journal, and why. Internal to store/.
#pragma once

#include <rocksdb/options.h>
#include <rocksdb/table.h>

#include "store/rocksdb_by_itself.h"

namespace vmproxy::store {

inline rocksdb::Options journal_options() {
  rocksdb::Options options;
  options.create_if_missing = true;

  // The default (kPointInTimeRecovery) opens silently with everything behind a damaged record gone. This one
  // forgives an incomplete record at the end of a log, which a crash leaves, and refuses damage before it. A
  // damaged length near the end still looks like a torn tail: the file `synced` tells the two apart.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.track_and_verify_wals_in_manifest = true;  // a log that is missing is an error
  options.paranoid_checks = true;

  // Memory: two write buffers and the block cache, 40 MB. Parallel flushes with more than two buffers, and
  // async_io, stay off: 7.8 may reorder updates, or read freed memory, with them (release notes of 7.9.0).
  options.write_buffer_size = 16u << 20;
  options.max_write_buffer_number = 2;
  options.max_background_jobs = 2;
  options.max_open_files = 128;
  // Small files, so that reclaim() finds many that lie wholly inside a trimmed range.
  options.target_file_size_base = 4u << 20;
  options.max_bytes_for_level_base = 64u << 20;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(8u << 20, 2);
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  // Bodies are written once and dropped by range: kept apart, compaction moves their references only.
  // Measured by benchmark_journal (log included): 2.0 to 2.7 bytes written for each byte of a body instead
  // of 2.3 to 3.0.
  options.enable_blob_files = true;
  options.min_blob_size = 2048;
  options.blob_file_size = 64u << 20;
  options.enable_blob_garbage_collection = true;
  options.blob_garbage_collection_age_cutoff = 0.25;

  // Tables and blobs go to the disk in small steps, or their flush makes the syncs of the log wait behind it.
  options.bytes_per_sync = 1u << 20;

  options.compression = rocksdb::kNoCompression;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_manifest_file_size = 16u << 20;

  // After an error nothing but reopen() goes on.
  options.info_log = std::make_shared<LogWithoutFile>();
  options.listeners = {std::make_shared<NoRecovery>()};
  options.max_bgerror_resume_count = 0;
  return options;
}

}  // namespace vmproxy::store
