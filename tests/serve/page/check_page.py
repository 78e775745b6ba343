"""Uses the chat page in headless Chromium as a person would.

    python3 tests/serve/page/check_page.py build/release/tests/fake_server [--pictures FOLDER]

Needs chromium and chromedriver (Debian: chromium-driver); without them it says so and ends with exit
code 77, which ctest counts as skipped. Nothing but Python's own library is used: WebDriver is JSON
over HTTP.
"""

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the standard gives an element's name
ENTER, ESCAPE = "\ue007", "\ue00c"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    def __init__(self, driver, chromium, folder):
        self.port = free_port()
        self.process = subprocess.Popen([driver, f"--port={self.port}"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        options = {"binary": chromium,
                   "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--window-size=1100,800", f"--user-data-dir={folder}"]}
        self.session = ""
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options,
                                                   "goog:loggingPrefs": {"browser": "ALL"}}}}
        deadline = time.time() + 30
        while True:
            try:
                self.session = "/" + self.call("POST", "", wanted)["sessionId"]
                return
            except (urllib.error.URLError, ConnectionError):
                if time.time() > deadline:
                    raise
                time.sleep(0.1)

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/session{self.session}{path}",
                                         method=method, headers={"Content-Type": "application/json"},
                                         data=json.dumps(body or {}).encode() if method == "POST" else None)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.read().decode()[:500]}")

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).click()", selector)

    def type(self, selector, keys):
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{found[ELEMENT]}/value", {"text": keys})

    def picture(self, file):
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()


class Page:
    """What the tests ask of the page."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.open(url)

    def texts(self, selector):
        return self.browser.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)",
                                selector)

    def wait(self, what, condition):
        deadline = time.time() + 20
        while time.time() < deadline:
            if condition():
                return
            time.sleep(0.02)
        sys.exit(f"the page did not come to: {what}; its messages: {self.texts('.message')}")

    def button(self):
        return self.texts("#send")[0]

    def say(self, text):
        # as typed, with the breaks that Shift+Enter makes
        self.browser.run("const box = document.getElementById('prompt'); box.value = arguments[0]; box.oninput()", text)
        self.browser.type("#prompt", ENTER)

    def say_and_wait(self, text):
        answers = len(self.texts(".message.assistant"))
        self.say(text)
        self.wait("an answer", lambda: len(self.texts(".message.assistant")) == answers + 1
                  and self.button() == "Send")
        return self.texts(".message.assistant")[-1]


CODE = "Look at `x`:\n\n```python\nprint('<b>1</b>')\nif True:\n    pass\n```\n\n- one\n- **two**\n\n<img src=x onerror=alert(1)>"


def check(browser, url, picture):
    page = Page(browser, url)
    passed = 0

    def expect(fact, truth):
        nonlocal passed
        if not truth:
            sys.exit(f"not so: {fact}; messages: {page.texts('.message')}")
        passed += 1
        print(f"  {fact}")

    page.wait("the model's name", lambda: page.texts("#model") == ["echo"])
    expect("a message is answered", page.say_and_wait("Hello there") == "Hello there")
    expect("how fast it was stands below", "per second" in page.texts(".foot")[0])

    page.say("endless, please")
    page.wait("a part of the answer", lambda: len(page.texts(".message.assistant")[-1]) > 20)
    first = len(page.texts(".message.assistant")[-1])
    expect("while it streams the button stops", page.button() == "Stop")
    page.wait("more of it", lambda: len(page.texts(".message.assistant")[-1]) > first)
    browser.click("#send")
    page.wait("the end", lambda: page.button() == "Send")
    stopped = page.texts(".message.assistant")[-1]
    time.sleep(0.3)
    expect("stopped, it grows no more", page.texts(".message.assistant")[-1] == stopped)
    page.say("endless again")
    page.wait("a part of the answer", lambda: len(page.texts(".message.assistant")[-1]) > 5)
    browser.type("#prompt", ESCAPE)
    page.wait("the end", lambda: page.button() == "Send")
    expect("Escape stops, too", len(page.texts(".message.assistant")) == 3)

    page.say_and_wait(CODE)
    expect("code stands in a block, as it is",
           page.texts(".code pre code") == ["print('<b>1</b>')\nif True:\n    pass"])
    expect("its language is named", page.texts(".code span") == ["python"])
    expect("lists, bold and inline code are shown",
           page.texts(".message.assistant li strong") == ["two"] and "x" in page.texts(".message.assistant p code"))
    expect("what looks like HTML stays text", browser.run(
        "return document.querySelectorAll('.message img, .message b').length") == 0)
    browser.run("window.copied = ''; navigator.clipboard.writeText = async text => { window.copied = text; }")
    browser.click(".copy")
    page.wait("the copy", lambda: page.texts(".copy") == ["Copied"])
    expect("Copy copies the code", browser.run("return window.copied").startswith("print('<b>1"))
    if picture:
        browser.picture(os.path.join(picture, "page-light.png"))

    browser.click("#new")
    expect("a new conversation is empty", page.texts(".message") == [])
    browser.click("#options")
    browser.type("#system", "Be brief")
    page.say_and_wait("Second one")
    expect("there are two", page.texts("#conversations .title") == ["Second one", "Hello there"])
    page = Page(browser, url)  # as after a restart
    page.wait("the list", lambda: len(page.texts("#conversations .title")) == 2)
    expect("they outlive the page", page.texts(".message.assistant") == ["Second one"])
    expect("so does the system prompt", browser.run("return document.getElementById('system').value") == "Be brief")
    page.say("endless")
    page.wait("a part of the answer", lambda: len(page.texts(".message.assistant")[-1]) > 5)
    browser.click("#conversations li:nth-child(2) .title")
    expect("another can be read meanwhile", page.texts(".message.user")[0] == "Hello there" and page.button() == "Send")
    browser.click("#conversations li:nth-child(1) .title")
    expect("and the answer goes on", page.button() == "Stop")
    browser.click("#send")
    page.wait("the end", lambda: page.button() == "Send")
    browser.click("#conversations li:nth-child(1) .remove")
    expect("one can be removed", page.texts("#conversations .title") == ["Hello there"])

    back = "return getComputedStyle(document.body).backgroundColor"
    browser.run("localStorage.setItem('argosy.theme', 'light')")
    page = Page(browser, url)
    light = browser.run(back)
    browser.click("#theme")
    dark = browser.run(back)
    expect("light and dark differ", light != dark and dark == "rgb(15, 20, 26)")
    page = Page(browser, url)
    expect("the choice is kept", browser.run(back) == dark)
    if picture:
        browser.picture(os.path.join(picture, "page-dark.png"))

    page.say("fail")
    page.wait("the error", lambda: page.texts(".error") == ["the machine is on fire"])
    expect("an error is shown, with a way to try again", page.texts(".again") == ["Try again"])

    outside = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    expect("nothing is asked of other servers", all(name.startswith(url) for name in outside))
    errors = [entry["message"] for entry in browser.call("POST", "/se/log", {"type": "browser"})
              if entry["level"] == "SEVERE" and "favicon" not in entry["message"] and "500" not in entry["message"]]
    expect(f"the console has no errors {errors or ''}", not errors)
    print(f"{passed} facts hold")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--pictures")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        print("skipped: there is no chromium or no chromedriver (Debian: apt-get install chromium-driver)")
        sys.exit(77)
    server = subprocess.Popen([options.server], stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as folder:
        browser = None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
            browser = Browser(driver, chromium, folder)
            check(browser, url, options.pictures)
        finally:
            if browser:
                browser.close()
            server.terminate()
            server.wait()


main()
