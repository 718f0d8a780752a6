// Images: what a journaled write left of its keys, whichever way it was journaled: as the source's own request, or,
// after promotion, as records that vmproxy itself computed.
#pragma once

#include <vector>

#include "journal/journal.h"
#include "protocols/api/dialect.h"

namespace vmproxy::proxy {

// The body of an intent that carries computed images (journal::Side::target).
std::string encode_images(const std::vector<journal::Image>& images);
Result<std::vector<journal::Image>> decode_images(std::string_view bytes);

// In the order of the intent's keys. An error: read the primary instead.
Result<std::vector<journal::Image>> images_of(const journal::IntentHead& head,
                                              const journal::IntentBody& body,
                                              const protocols::Dialect* dialect,
                                              const protocols::Catalog& catalog);

// Key of a row in the table of touched keys.
std::string touched_key(uint64_t generation, const std::string& collection, const std::string& key);

}  // namespace vmproxy::proxy
