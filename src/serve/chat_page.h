#pragma once
#include <string>

namespace argosy::serve {

/// The page at "/": conversations with the model in a browser. It needs nothing else.
const std::string& chat_page();

}  // namespace argosy::serve
