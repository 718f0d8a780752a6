#include "cli/examples.h"

#include <map>

namespace vmproxy::cli {

std::string examples_of(std::string_view command) {
  static const std::map<std::string_view, std::string> examples{
      {"",
       "  vmproxy from SYSTEM --url URL --to SYSTEM --url URL    copy once, no set-up\n"
       "  vmproxy check -c vmproxy.yaml           what would not work\n"
       "  vmproxy serve -c vmproxy.yaml           the proxy; applications connect to it\n"
       "  vmproxy start                           mirror, copy, compare\n"
       "  vmproxy status                          where am I, what next\n"
       "  vmproxy cutover --percent 10            the target answers 10 % of the reads\n"
       "  vmproxy promote                         the target takes the writes\n"
       "  vmproxy rollback                        back to the source, nothing lost\n"
       "  vmproxy finalize                        done\n"},
      {"serve", "  vmproxy serve -c vmproxy.yaml\n"},
      {"check", "  vmproxy check -c vmproxy.yaml\n"},
      {"discover",
       "  vmproxy discover SYSTEM --url http://127.0.0.1:8000\n"
       "  vmproxy discover SYSTEM --url 'postgresql://app:${PASSWORD}@db/app' -o json\n"},
      {"start",
       "  vmproxy start                           mirror, copy and compare, up to ready\n"
       "  vmproxy start --until mirroring         only arm the mirror\n"
       "  vmproxy start --no-wait                 return at once\n"
       "  vmproxy start --force target_not_empty  overwrite what the target holds\n"
       "  vmproxy start --timeout 2h              exit code 5 when it takes longer\n"},
      {"status",
       "  vmproxy status\n"
       "  vmproxy status --watch\n"
       "  vmproxy status --wait ready --timeout 10m && vmproxy cutover --percent 10\n"
       "  vmproxy status -o json | jq .gates\n"},
      {"backfill", "  vmproxy backfill pause\n  vmproxy backfill throttle 2000\n"},
      {"backfill pause", "  vmproxy backfill pause\n"},
      {"backfill resume", "  vmproxy backfill resume\n"},
      {"backfill throttle",
       "  vmproxy backfill throttle 2000          records per second\n  vmproxy backfill throttle 0          "
       "   no limit\n"},
      {"validate",
       "  vmproxy validate                        every record; exit code 4: some differ\n"
       "  vmproxy validate --sample 5             5 % of them\n"
       "  vmproxy validate --show-diffs           list what differs\n"
       "  vmproxy validate --repair               and bring it to the primary's state\n"},
      {"cutover",
       "  vmproxy cutover --percent 10\n  vmproxy cutover --percent 100 --reason 'release 42'\n  vmproxy "
       "cutover --percent 0\n"},
      {"promote",
       "  vmproxy promote\n  vmproxy promote --yes --reason 'release 42'\n  vmproxy promote --force lag "
       "--reason 'source is failing'\n"},
      {"rollback",
       "  vmproxy rollback\n  vmproxy rollback --reason 'slow answers'\n  vmproxy rollback --force unread   the target "
       "is dead for good\n"},
      {"finalize", "  vmproxy finalize\n  vmproxy finalize --yes\n"},
      {"abandon", "  vmproxy abandon\n  vmproxy abandon --yes --reason 'not this quarter'\n"},
      {"quarantine", "  vmproxy quarantine list\n  vmproxy quarantine show 7\n  vmproxy quarantine retry\n"},
      {"quarantine list", "  vmproxy quarantine list\n"},
      {"quarantine show", "  vmproxy quarantine show 7\n"},
      {"quarantine retry",
       "  vmproxy quarantine retry                all of them\n  vmproxy quarantine retry 7\n"},
      {"quarantine drop", "  vmproxy quarantine drop 7\n"},
      {"journal", "  vmproxy journal stats\n  vmproxy journal verify\n"},
      {"journal stats", "  vmproxy journal stats\n"},
      {"journal verify", "  vmproxy journal verify                  also works without a server\n"},
      {"config", "  vmproxy config validate -c vmproxy.yaml\n"},
      {"config validate", "  vmproxy config validate -c vmproxy.yaml\n"},
      {"from",
       "  vmproxy from SYSTEM --url URL --to SYSTEM --url URL --dry-run\n"
       "  vmproxy from SYSTEM --url URL --to SYSTEM --url URL\n"
       "  vmproxy from SYSTEM --url URL --collection 'user-*' --to SYSTEM --url URL\n"},
      {"debug", "  vmproxy debug faults\n"},
      {"debug faults", "  vmproxy debug faults                    exit code 3: this build has none\n"},
      {"version", "  vmproxy version\n"},
  };
  const auto found = examples.find(command);
  return found == examples.end() ? std::string() : found->second;
}

}  // namespace vmproxy::cli
