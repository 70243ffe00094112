"""The public names, for type checkers and editors: they do not see what `__getattr__` imports."""

from vizlib import attribution as attribution
from vizlib import partworld as partworld
from vizlib import plots as plots
from vizlib import realism as realism
from vizlib import statistics as statistics
from vizlib.attribution import grad_cam as grad_cam
from vizlib.attribution import input_x_gradient as input_x_gradient
from vizlib.attribution import integrated_gradients as integrated_gradients
from vizlib.attribution import layer_cam as layer_cam
from vizlib.attribution import lrp as lrp
from vizlib.attribution import occlusion as occlusion
from vizlib.attribution import saliency as saliency
from vizlib.attribution import shortcuts as shortcuts
from vizlib.attribution import smooth_grad as smooth_grad
from vizlib.explorer import check_parameters as check_parameters
from vizlib.explorer import explore as explore
from vizlib.images import load_images as load_images
from vizlib.networks import Network as Network
from vizlib.networks import check as check
from vizlib.networks import convert_vgg16 as convert_vgg16
from vizlib.networks import load_network as load_network
from vizlib.realism import sweep as sweep
from vizlib.reporting import report as report
from vizlib.statistics import BootstrapMix as BootstrapMix
from vizlib.statistics import ImageStatistics as ImageStatistics
from vizlib.statistics import LocalGaussian as LocalGaussian
from vizlib.statistics import PCAGaussian as PCAGaussian
from vizlib.statistics import QuiltedGaussian as QuiltedGaussian
from vizlib.store import StatsStore as StatsStore
from vizlib.store import collect as collect
from vizlib.synthesis import chain as chain
from vizlib.synthesis import deep_inversion as deep_inversion
from vizlib.synthesis import maco as maco
from vizlib.synthesis import olah as olah
from vizlib.synthesis import recipe as recipe
from vizlib.synthesis import reconstruct as reconstruct
from vizlib.synthesis import rerun as rerun
from vizlib.synthesis import simonyan as simonyan
from vizlib.synthesis import suppress as suppress
from vizlib.synthesis import terms as terms
from vizlib.synthesis import vital as vital
from vizlib.synthesis import walk as walk

__version__: str
