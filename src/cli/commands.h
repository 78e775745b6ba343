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
std::function<int()> bench(Arguments& arguments);
std::function<int()> profile(Arguments& arguments);

}  // namespace argosy::cli
