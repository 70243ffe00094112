"""Where images come from: drawn scenes, Imagenette, folders of files of anyone; and how they are written."""

from vizlib._arrays import Images, ImagesLike, Rows, Size, as_images, sides, to_uint8
from vizlib.images.files import save_image
from vizlib.images.imagenet import SYNSETS
from vizlib.images.loading import class_names, load_images

__all__ = [
    "SYNSETS", "Images", "ImagesLike", "Rows", "Size", "as_images", "class_names", "load_images", "save_image", "sides",
    "to_uint8",
]
