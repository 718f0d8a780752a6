#include "proxy/credentials.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "journal/rows.h"

namespace vmproxy::proxy {
namespace {
constexpr std::string_view salt_row = "salt";
constexpr size_t hashes_max = 10'000;
}  // namespace

Result<void> Credentials::restore() {
  std::lock_guard hold(mutex_);
  auto scanned = journal_.scan_rows(journal::rows::credentials, "", "", [this](std::string_view key, std::string_view value) {
    if (key == salt_row) {
      salt_ = value;
    } else {
      hashes_.emplace(key);
    }
    return true;
  });
  if (!scanned || !salt_.empty()) return scanned;
  unsigned char random[32];
  if (RAND_bytes(random, sizeof random) != 1) return Error(Code::internal, "no randomness for the salt of credentials");
  salt_.assign(reinterpret_cast<const char*>(random), sizeof random);
  return journal_.commit_rows({{std::string(journal::rows::credentials), std::string(salt_row), salt_}});
}

std::string Credentials::hash(const std::string& credential) const {
  const std::string text = salt_ + credential;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest), length};
}

void Credentials::accepted(const std::string& credential) {
  std::lock_guard hold(mutex_);
  if (any_ && credential == last_) return;
  any_ = true;
  last_ = credential;
  std::string hashed = hash(credential);
  if (hashes_.size() >= hashes_max || !hashes_.insert(hashed).second) return;
  journal_.put_rows({{std::string(journal::rows::credentials), std::move(hashed), ""}});
}

bool Credentials::known(const std::string& credential) const {
  std::lock_guard hold(mutex_);
  if (any_ && credential == last_) return true;
  return hashes_.contains(hash(credential));
}

}  // namespace vmproxy::proxy
