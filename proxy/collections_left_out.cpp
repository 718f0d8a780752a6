// What is not moved: what holds vectors at the source and cannot be a collection, and collections that the target cannot hold. Kept
// beside the catalog, so that a start which has not asked the source yet does not take silence for nothing.
#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/collections.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view left_out_row = "left_out",
                           refused_row = "refused";  // by the source; by the target
constexpr uint8_t left_out_format = 1;

std::string encode(const std::vector<protocols::LeftOut>& all) {
  model::Writer writer;
  writer.u8(left_out_format);
  writer.varint(all.size());
  for (const auto& one : all) {
    writer.bytes(one.name.space);
    writer.bytes(one.name.name);
    writer.bytes(one.why);
    writer.bytes(one.remedy);
  }
  return writer.take();
}

Result<std::vector<protocols::LeftOut>> decode(const std::string& row) {
  model::Reader reader(row);
  const uint8_t format = reader.u8();
  if (format != left_out_format) {
    return Error(Code::unsupported, "what the migration leaves out was written in format " +
                                        std::to_string(format) +
                                        ", which this version does not know; use the version that wrote it");
  }
  std::vector<protocols::LeftOut> all;
  const uint64_t count = reader.varint();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    protocols::LeftOut one;
    one.name.space = reader.bytes();
    one.name.name = reader.bytes();
    one.why = reader.bytes();
    one.remedy = reader.bytes();
    all.push_back(std::move(one));
  }
  if (!reader.done())
    return Error(Code::corrupt, "what the migration leaves out cannot be read from its state");
  return all;
}

}  // namespace

Result<void> Collections::load_left_out() {
  auto row = journal_.row(journal::rows::state, left_out_row);
  if (!row) return row.error();
  auto refused = journal_.row(journal::rows::state, refused_row);
  if (!refused) return refused.error();
  std::lock_guard hold(mutex_);
  if (*row) {  // else never asked, or by a version that did not keep it: the next refresh() does
    auto all = decode(**row);
    if (!all) return all.error();
    left_out_ = std::move(*all);
    left_out_known_ = true;
  }
  if (*refused) {
    auto all = decode(**refused);
    if (!all) return all.error();
    refused_ = std::move(*all);
  }
  return {};
}

journal::Row Collections::row_of_refused(const std::vector<protocols::LeftOut>& refused) {
  return {std::string(journal::rows::state), std::string(refused_row), encode(refused)};
}

// Durable before the catalog that goes with it. With write_mutex_ held.
Result<void> Collections::keep_left_out(std::vector<protocols::LeftOut> found) {
  {
    std::lock_guard hold(mutex_);
    if (left_out_known_ && found == left_out_) return {};
  }
  auto written =
      journal_.commit_rows({{std::string(journal::rows::state), std::string(left_out_row), encode(found)}});
  if (!written) return written.error().within("what is left out could not be kept");
  for (const auto& one : found) {
    if (included_(one.name))
      log::warn("not a collection, so it is left out",
                {{"name", model::to_string(one.name)}, {"why", one.why}, {"remedy", one.remedy}});
  }
  std::lock_guard hold(mutex_);
  left_out_ = std::move(found);
  left_out_known_ = true;
  return {};
}

bool Collections::left_out_known() const {
  std::lock_guard hold(mutex_);
  return left_out_known_;
}

std::vector<protocols::LeftOut> Collections::left_out() const {
  std::vector<protocols::LeftOut> all;
  {
    std::lock_guard hold(mutex_);
    all = left_out_;
    all.insert(all.end(), refused_.begin(), refused_.end());
  }
  std::erase_if(all, [this](const protocols::LeftOut& one) { return !included_(one.name); });
  return all;
}

Result<void> Collections::all_can_be_moved() const {
  std::lock_guard hold(mutex_);
  std::string text;
  for (const auto& one : refused_)
    text += (text.empty() ? "" : "; ") + ("collection '" + model::to_string(one.name)) +
            "' cannot be moved: " + one.why + " (" + one.remedy + ")";
  if (text.empty()) return {};
  return Error(Code::unsupported, text + ". Or name the others in the configuration's collections");
}

}  // namespace vmproxy::proxy
