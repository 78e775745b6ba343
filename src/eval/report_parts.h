#pragma once
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "eval/page.h"
#include "run/event_file.h"

/// What every report page has.
namespace argosy::eval {

/// A number for the reader: "0.123", "1.20e-05", or a dash where there is none.
std::string figure(std::optional<double> value);

/// A figure with its name, inside a <div class="tiles">.
void add_tile(Page& page, const std::string& value, const std::string& name);

/// A film inside the page.
void add_video(Page& page, const std::string& mp4);

/// Section "How training went"; nothing without curves.
void add_curves(Page& page, const run::Curves& curves);

/// Section "Where this comes from".
void add_provenance(Page& page, std::span<const std::string> notes,
                    std::span<const std::pair<std::string, std::string>> provenance,
                    const std::string& recipe_toml);

}  // namespace argosy::eval
