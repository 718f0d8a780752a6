// Listing everything through pages by offset while rows come and go. Pure: the pages come from a function.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace vmproxy::protocols::chroma {

// The ids at [offset, offset + limit) of an order in which new rows come last and a deleted one lets those
// behind move up.
using FetchPage = std::function<Result<std::vector<std::string>>(size_t offset, size_t limit)>;

// Each id that exists all the time, once; ids that come or go meanwhile perhaps. `count`: at least as many as
// there were when the listing began. Error corrupt: a page has more than it may.
//
// Read from the end: whatever was not listed yet stands in front of the page last read, and can only move
// further to the front, where the next page will meet it. (From the front a delete moves rows into pages that
// were read already; and to look for a row seen before as an anchor fails when that row was deleted and added
// again.)
Result<std::vector<std::string>> list_by_offset(const FetchPage& fetch, size_t count, size_t page);

}  // namespace vmproxy::protocols::chroma
