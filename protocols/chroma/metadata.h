// Metadata of records and collections: what may be in it, in and out.
#pragma once

#include <optional>
#include <string>

#include "model/record.h"
#include "protocols/chroma/body.h"
#include "protocols/chroma/payload.h"

namespace vmproxy::protocols::chroma {

// The server keeps these among the metadata. Names with this prefix are never shown by it.
constexpr std::string_view reserved_prefix = "chroma:";
constexpr std::string_view document_key = "chroma:document";
constexpr std::string_view uri_key = "chroma:uri";

// A map of names to booleans, 64-bit integers, numbers, strings or lists of one of these; null where `nulls`
// is set. Integers in a list with a floating-point number become such; integers beyond 64 bits too.
bool read_metadata(BodyReader& in, bool nulls, Metadata& out);

// "metadata key" rules of records: not empty, no '#' or '$' in front.
bool legal_record_metadata(const Metadata& metadata);

// What of a record's metadata the server shows: null when there is none, {} when all of it is reserved.
void append_metadata(std::string& out, const std::optional<model::Object>& metadata);

// Why the server could not keep this metadata as it is; nothing when it can.
std::optional<std::string> metadata_objection(const model::Object& metadata);

}  // namespace vmproxy::protocols::chroma
