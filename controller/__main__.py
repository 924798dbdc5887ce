"""`python -m controller` is `seadragon`."""

from controller.cli import main

if __name__ == "__main__":
    main()
