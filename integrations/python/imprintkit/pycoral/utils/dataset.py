"""Label files."""

import os
import re
from typing import Dict, Union

_NUMBERED = re.compile(r'(\d+)[:\s]+(.*)', re.DOTALL)


def read_label_file(file_path: Union[str, 'os.PathLike[str]']) -> Dict[int, str]:
    """Return the labels in a file by their index.

    Each line is an index and a label, separated by colons or spaces. A line without an index has its line number, from 0.
    """
    labels = {}
    with open(file_path, encoding='utf-8') as lines:
        for number, line in enumerate(lines):
            numbered = _NUMBERED.fullmatch(line.strip())
            if numbered:
                labels[int(numbered[1])] = numbered[2]
            else:
                labels[number] = line.strip()
    return labels
