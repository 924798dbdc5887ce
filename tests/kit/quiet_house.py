"""A house on the real Ollama that answers once and leaves: `python -m tests.kit.quiet_house FOLDER NO_CLOUD`, true or
false. FOLDER is where the house stands, and has `models` in it.

Run where nothing can leave the machine (`tests.kit.sealed`): whatever it asks of the world, it asks by itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kit import real, web
from tests.kit.house import fake_house, until

ASKED = "model recommendations cache sleep scheduled"
"""What Ollama logs once it has asked for them, or has seen that it must not."""


def main() -> int:
    folder, no_cloud = sys.argv[1:]
    with fake_house(Path(folder) / "house") as house:  # whose clearing ends all who name it, so we must not
        house.configure(ollama={"binary": str(real.program())})
        (Path(folder) / "models").mkdir(exist_ok=True)
        house.write("models", {"folder": str(Path(folder) / "models"), "no_cloud": no_cloud == "true"})
        house.up().until_ready()
        asked = {"model": "red", "prompt": "hi", "stream": False}
        answer = web.post(f"{house.url}/api/generate", json=asked, timeout=60)
        assert answer.json()["response"].strip() == "I am red.", answer.text
        for path in ("/api/tags", "/api/ps", "/v1/models", "/api/experimental/model-recommendations"):
            web.get(f"{house.url}{path}", timeout=60)
        until(lambda: ASKED in (house.logs / "ollama.log").read_text(errors="replace"), why="Ollama has had its time")
        return house.down()


if __name__ == "__main__":
    sys.exit(main())
