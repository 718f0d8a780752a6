// A configuration file, and the small texts in it.
#include "config/address.h"
#include "config/config.h"
#include "config/units.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using fuzz::must;

namespace {

// A password in an address is shown to nobody.
void check_url(std::string_view text) {
  const std::string masked = config::masked_url(text);
  must(masked.size() <= 4 * text.size() + 16, "masked, not much larger");
  const auto scheme = text.find("://");
  const auto colon = text.find(':', scheme == text.npos ? 0 : scheme + 3), at = text.rfind('@');
  if (colon == text.npos || at == text.npos || colon > at) return;
  const std::string other = std::string(text.substr(0, colon + 1)) + "another" + std::string(text.substr(at));
  must(masked == config::masked_url(other), "what is shown does not depend on the password");
  must(config::place_of(text) == config::place_of(other), "nor does the place");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  // A reference may name any file that the machine can read.
  if (text.find("file:") != text.npos && text.find("secret") == text.npos) return 0;
  const auto parsed = config::parse(text, "c.yaml");
  if (!parsed) {
    must(parsed.error().code == Code::invalid, "what is wrong with it is the file's fault");
    must(parsed.error().message.starts_with("c.yaml"), "and where is said");
  } else {
    const config::KnownNames known{{"chroma", "milvus", "pgvector"}, {"chroma", "milvus"}};
    const auto valid = config::validate(*parsed, known, "c.yaml");
    must(!valid || !parsed->listeners.empty(), "there is something to serve");
    for (const auto& [name, migration] : parsed->migrations)
      must(!config::journal_directory(*parsed, name).empty(), "a migration has its journal");
  }
  (void)config::parse_bytes(text);
  (void)config::parse_count(text);
  if (const auto duration = config::parse_duration(text))
    must(*duration >= Duration{}, "a duration is not negative");
  if (const auto number = config::parse_number(text)) must(*number >= 0, "a number is not negative");
  if (const auto address = config::parse_host_port(text)) (void)config::is_loopback(address->host);
  check_url(text);
  return 0;
}
