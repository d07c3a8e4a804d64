"""`python -m mia_seg` is `mia-seg`; torchrun takes it as `-m mia_seg`."""

from mia_seg.cli import main

if __name__ == "__main__":
    main()
