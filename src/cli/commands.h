#pragma once
#include "cli/command.h"

/// Every command of the program; the rows of the table in main.cpp.
namespace argosy::cli {

std::function<int()> doctor(Arguments& arguments);
std::function<int()> ingest(Arguments& arguments);
std::function<int()> data(Arguments& arguments);
std::function<int()> train(Arguments& arguments);
std::function<int()> eval(Arguments& arguments);
std::function<int()> fleet(Arguments& arguments);
std::function<int()> drive(Arguments& arguments);
std::function<int()> model(Arguments& arguments);
std::function<int()> chat(Arguments& arguments);
std::function<int()> bench(Arguments& arguments);
std::function<int()> profile(Arguments& arguments);
std::function<int()> serve(Arguments& arguments);

// below `data`
std::function<int()> data_check(Arguments& arguments);
std::function<int()> data_info(Arguments& arguments);
std::function<int()> data_query(Arguments& arguments);
std::function<int()> data_row(Arguments& arguments);
std::function<int()> data_tokens(Arguments& arguments);
std::function<int()> data_view(Arguments& arguments);

}  // namespace argosy::cli
