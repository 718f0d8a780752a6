// Embeddings as the SDKs send them: base64 (RFC 4648, padded) of little-endian float32.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "model/record.h"

namespace vmproxy::protocols::chroma {

// Refusals are worded as the server words them.
Result<model::DenseVector> decode_base64_floats(std::string_view text);
void append_base64_floats(std::string& out, const model::DenseVector& vector);

}  // namespace vmproxy::protocols::chroma
