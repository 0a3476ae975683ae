"""torchrun, which starts the members of a crew, begins them again when one dies, and ends with its job."""

import sys

from app.runtime.member import ends_with_parent

if __name__ == "__main__":
    ends_with_parent()
    from torch.distributed.run import main

    main(sys.argv[1:])
