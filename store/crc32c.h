// CRC32C (Castagnoli), by the processor's instruction where it has one. RocksDB keeps its own to itself.
#pragma once

#include <cstdint>
#include <string_view>

namespace vmproxy::store {

// Continues `crc` (0 to begin) over more bytes: extend(extend(0, a), b) == extend(0, a + b).
uint32_t crc32c_extend(uint32_t crc, std::string_view bytes);
// The same by table, for the test that both agree.
uint32_t crc32c_extend_by_table(uint32_t crc, std::string_view bytes);

}  // namespace vmproxy::store
