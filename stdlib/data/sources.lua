--- Where data sets can be downloaded from: their authors' hosts, or mirrors that name themselves as such.
---
--- Each source has `files` with size and SHA-256; `unpack` marks an archive whose contents are the set. `terms` must be
--- accepted before the download. A set that has `by_hand` instead cannot be downloaded without an agreement with those
--- who made it. Sizes and digests are those published with TensorFlow Datasets (url_checksums), of the authors' files.
local M = {}

local function files(bases, list)
  for _, file in ipairs(list) do
    file.urls = {}
    for i, base in ipairs(bases) do file.urls[i] = base .. file.name end
  end
  return list
end

M.mnist = {
  files = files({ "https://storage.googleapis.com/cvdf-datasets/mnist/",
                  "https://ossci-datasets.s3.amazonaws.com/mnist/" }, {
    { name = "train-images-idx3-ubyte.gz", size = 9912422,
      sha256 = "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609" },
    { name = "train-labels-idx1-ubyte.gz", size = 28881,
      sha256 = "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c" },
    { name = "t10k-images-idx3-ubyte.gz", size = 1648877,
      sha256 = "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6" },
    { name = "t10k-labels-idx1-ubyte.gz", size = 4542,
      sha256 = "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6" },
  }),
}

M["fashion-mnist"] = {
  files = files({ "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/" }, {
    { name = "train-images-idx3-ubyte.gz", size = 26421880,
      sha256 = "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84" },
    { name = "train-labels-idx1-ubyte.gz", size = 29515,
      sha256 = "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845" },
    { name = "t10k-images-idx3-ubyte.gz", size = 4422102,
      sha256 = "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073" },
    { name = "t10k-labels-idx1-ubyte.gz", size = 5148,
      sha256 = "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5" },
  }),
}

M.kmnist = {
  files = files({ "http://codh.rois.ac.jp/kmnist/dataset/kmnist/" }, {
    { name = "train-images-idx3-ubyte.gz", size = 18165135,
      sha256 = "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4" },
    { name = "train-labels-idx1-ubyte.gz", size = 29497,
      sha256 = "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17" },
    { name = "t10k-images-idx3-ubyte.gz", size = 3041136,
      sha256 = "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5" },
    { name = "t10k-labels-idx1-ubyte.gz", size = 5120,
      sha256 = "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c" },
  }),
}

M.emnist = {
  files = files({ "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/" }, {
    { name = "gzip.zip", size = 561753746, unpack = true,
      sha256 = "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e" },
  }),
}

M.cifar10 = {
  files = files({ "https://www.cs.toronto.edu/~kriz/" }, {
    { name = "cifar-10-binary.tar.gz", size = 170052171, unpack = true,
      sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd" },
  }),
}

M.cifar100 = {
  files = files({ "https://www.cs.toronto.edu/~kriz/" }, {
    { name = "cifar-100-binary.tar.gz", size = 168513733, unpack = true,
      sha256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec" },
  }),
}

M["cifar10-c"] = {
  files = files({ "https://zenodo.org/record/2535967/files/" }, {
    { name = "CIFAR-10-C.tar", size = 2918471680, unpack = true,
      sha256 = "c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7" },
  }),
}

M["cifar100-c"] = {
  files = files({ "https://zenodo.org/record/3555552/files/" }, {
    { name = "CIFAR-100-C.tar", size = 2918473216, unpack = true,
      sha256 = "30ee6543a1bfd049fa33834b7c1ada301e7064b7fbe8fc38340eb8b62ced4b33" },
  }),
}

M.svhn = {
  terms = "SVHN's authors give it for non-commercial use only (http://ufldl.stanford.edu/housenumbers/).",
  files = files({ "http://ufldl.stanford.edu/housenumbers/" }, {
    { name = "train_32x32.mat", size = 182040794,
      sha256 = "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8" },
    { name = "test_32x32.mat", size = 64275384,
      sha256 = "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b" },
  }),
}

M["tiny-imagenet"] = {
  terms = "Tiny ImageNet's pictures come from ImageNet, whose terms allow non-commercial research and education only "
    .. "(https://image-net.org/download).",
  files = files({ "http://cs231n.stanford.edu/" }, {
    { name = "tiny-imagenet-200.zip", size = 248100043, unpack = true,
      sha256 = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821" },
  }),
}

M.imagenet = {
  by_hand = [[
ImageNet (ILSVRC 2012) needs an account and an agreement with its makers:
  1. Sign up at https://image-net.org, ask for access, and accept the terms.
  2. Download, under ILSVRC2012, the training images (task 1 & 2), the validation images, and the development kit.
       ILSVRC2012_img_train.tar       147,897,477,120 bytes
         SHA-256 b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb
       ILSVRC2012_img_val.tar         6,744,924,160 bytes
         SHA-256 c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0
       ILSVRC2012_devkit_t12.tar.gz
  3. Unpack them into the folders train/<class>/ (the training archive holds one archive for each class), val/ and
     ILSVRC2012_devkit_t12/ of one folder named imagenet, below a folder that PENUMBRA_DATA names.]],
}

return M
