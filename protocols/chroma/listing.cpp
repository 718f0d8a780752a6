#include "protocols/chroma/listing.h"

#include <algorithm>
#include <unordered_set>

namespace vmproxy::protocols::chroma {

Result<std::vector<std::string>> list_by_offset(const FetchPage& fetch, size_t count, size_t page) {
  std::vector<std::string> ids;
  std::unordered_set<std::string> seen;  // rows that moved to the front meanwhile come again
  for (size_t end = count; end > 0;) {
    const size_t from = end - std::min(end, page);
    auto rows = fetch(from, end - from);
    if (!rows) return rows.error();
    if (rows->size() > end - from) {
      return Error(Code::corrupt, "the server gave " + std::to_string(rows->size()) + " ids where " +
                                      std::to_string(end - from) + " were asked for");
    }
    for (std::string& id : *rows) {
      if (seen.insert(id).second) ids.push_back(std::move(id));
    }
    end = from;
  }
  return ids;
}

}  // namespace vmproxy::protocols::chroma
