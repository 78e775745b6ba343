#include "cli/commands.h"

namespace argosy::cli {

std::function<int()> data(Arguments& arguments) {
#ifdef ARGOSY_WITH_DATA
  arguments.subcommand(
      "info", "what it holds: episodes, cameras, columns with units and statistics", data_info);
  arguments.subcommand("check", "read every row and decode every frame; lists all defects",
                       data_check);
  arguments.subcommand("row", "single rows as JSON: values, texts, mean colours of the frames",
                       data_row);
  arguments.subcommand(
      "view", "a page (HTML) of episodes: films, signals, a policy's outputs beside", data_view);
#endif
#ifdef ARGOSY_WITH_QUERY
  arguments.subcommand("query",
                       "SQL over frames and episodes: printed, exported, or cut out as a data set",
                       data_query);
#endif
  arguments.subcommand("tokens", "texts and conversations as tokens, for language models",
                       data_tokens);
  return {};
}

}  // namespace argosy::cli
