#include "proxy/credentials.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <optional>
#include <string_view>
#include <vector>

#include "journal/rows.h"

namespace vmproxy::proxy {
namespace {
constexpr std::string_view salt_row = "salt";
constexpr std::string_view form_row = "form";  // none: a state of a version that had one form only
constexpr size_t hashes_max = 10'000;
}  // namespace

Result<void> Credentials::restore(journal::Side primary) {
  std::lock_guard hold(mutex_);
  auto scanned = journal_.scan_rows(journal::rows::credentials, "", "",
                                    [this](std::string_view key, std::string_view value) {
                                      if (key == salt_row) {
                                        salt_ = value;
                                      } else if (key == form_row) {
                                        form_ = value;
                                      } else {
                                        hashes_.emplace(key);
                                      }
                                      return true;
                                    });
  if (!scanned) return scanned;
  std::vector<journal::Row> rows;
  const auto put = [&rows](std::string_view key, std::optional<std::string> value) {
    rows.push_back({std::string(journal::rows::credentials), std::string(key), std::move(value)});
  };
  const bool fresh = salt_.empty();
  if (fresh) {
    unsigned char random[32];
    if (RAND_bytes(random, sizeof random) != 1)
      return Error(Code::internal, "no randomness for the salt of credentials");
    salt_.assign(reinterpret_cast<const char*>(random), sizeof random);
    put(salt_row, salt_);
  }
  const std::string form = dialect_ == nullptr ? form_ : dialect_->credential_form();
  form_is_kept_ = form_ != form && primary == journal::Side::target && !fresh;
  if (form_ != form && !form_is_kept_) {
    for (const auto& hashed : hashes_) put(hashed, std::nullopt);
    hashes_.clear();
    form_ = form;
    put(form_row, form_);
  }
  return rows.empty() ? Result<void>() : journal_.commit_rows(std::move(rows));
}

std::string Credentials::hash(const std::string& credential) const {
  const std::string text = salt_ + credential;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest), length};
}

void Credentials::accepted(const net::RequestHead& head) {
  const std::string credential = of(head);
  std::lock_guard hold(mutex_);
  if (any_ && credential == last_) return;
  any_ = true;
  last_ = credential;
  std::string hashed = hash(credential);
  if (hashes_.size() >= hashes_max || !hashes_.insert(hashed).second) return;
  journal_.put_rows({{std::string(journal::rows::credentials), std::move(hashed), ""}});
}

bool Credentials::known(const net::RequestHead& head) const {
  const std::string credential = of(head);
  std::lock_guard hold(mutex_);
  if (any_ && credential == last_) return true;
  return hashes_.contains(hash(credential));
}

}  // namespace vmproxy::proxy
