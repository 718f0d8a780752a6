#include "request_log.h"

#include <zlib.h>

#include <chrono>

namespace vmproxy::faultproxy {
namespace {

constexpr uint64_t not_kept = UINT64_MAX;

int64_t nanoseconds_now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string_view name_of(Stage stage) {
  switch (stage) {
    case Stage::arrived: return "arrived";
    case Stage::passed: return "passed";
    case Stage::duplicate: return "duplicate";
  }
  return "";
}

uint64_t RequestLog::add(LoggedRequest entry) {
  if (entries_.size() >= entries_max_) {
    ++dropped_;
    return not_kept;
  }
  entries_.push_back(std::move(entry));
  return end() - 1;
}

LoggedRequest* RequestLog::find(uint64_t number) {
  if (number < first_ || number >= end()) return nullptr;
  return &entries_[static_cast<size_t>(number - first_)];
}

void RequestLog::forget(uint64_t below) {
  for (; first_ < below && !entries_.empty(); ++first_) entries_.pop_front();
}

RequestNotes::RequestNotes(RequestLog& log, std::string link, uint64_t connection, Stage stage)
    : log_(&log), link_(std::move(link)), connection_(connection), stage_(stage) {}

uint64_t RequestNotes::begin(LoggedRequest entry) {
  entry.link = link_;
  entry.connection = connection_;
  entry.stage = stage_;
  entry.at = nanoseconds_now();
  return log_->add(std::move(entry));
}

void RequestNotes::body(uint64_t number, std::string_view bytes) {
  auto* entry = log_->find(number);
  if (entry == nullptr) return;
  entry->body_bytes += bytes.size();
  entry->body_crc32 = static_cast<uint32_t>(
      crc32_z(entry->body_crc32, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

void RequestNotes::complete(uint64_t number) {
  auto* entry = log_->find(number);
  if (entry == nullptr) return;
  entry->complete = true;
  entry->at = nanoseconds_now();
}

void RequestNotes::reset(uint64_t number) {
  if (auto* entry = log_->find(number)) entry->reset = true;
}

}  // namespace vmproxy::faultproxy
