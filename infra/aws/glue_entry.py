"""The script of the Glue job. All of it is in the wheel; see `tag_platform.glue.job`."""

from tag_platform.glue.job import main

if __name__ == "__main__":
    main()
