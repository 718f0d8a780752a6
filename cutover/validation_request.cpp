#include "cutover/validation_request.h"

#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"

namespace vmproxy::cutover {
namespace {

constexpr std::string_view request_row = "validation";
constexpr uint8_t request_format = 1;

}  // namespace

Result<ValidationRequest> load_validation_request(journal::Journal& journal) {
  auto row = journal.row(journal::rows::state, request_row);
  if (!row) return row.error();
  ValidationRequest request;
  if (!*row) return request;
  model::Reader reader(**row);
  const uint8_t format = reader.u8();
  if (format == 0 || format > request_format)
    return journal::unknown_format("the validation that was asked for last", format, request_format);
  request.number = reader.u64();
  request.open = reader.u8() != 0;
  request.options.full = reader.u8() != 0;
  request.options.sample_percent = reader.f64();
  request.options.repair = reader.u8() != 0;
  const double percent = request.options.sample_percent;
  if (!reader.done() || !(percent > 0 && percent <= 100))
    return Error(Code::corrupt, "the validation that was asked for last cannot be read from the journal");
  return request;
}

journal::Row row_of(const ValidationRequest& request) {
  model::Writer writer;
  writer.u8(request_format);
  writer.u64(request.number);
  writer.u8(request.open ? 1 : 0);
  writer.u8(request.options.full ? 1 : 0);
  writer.f64(request.options.sample_percent);
  writer.u8(request.options.repair ? 1 : 0);
  return {std::string(journal::rows::state), std::string(request_row), writer.take()};
}

}  // namespace vmproxy::cutover
